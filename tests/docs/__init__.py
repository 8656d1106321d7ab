"""Tests of what readers are given: documents, man pages, completion."""
