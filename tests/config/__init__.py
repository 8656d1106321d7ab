"""Tests of ocirun.config: none needs root."""
