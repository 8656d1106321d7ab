"""Tests of the C executor against a fake kernel, without root."""
