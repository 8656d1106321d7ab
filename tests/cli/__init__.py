"""Tests of the command line; the container layer is a stand-in (`fake`), so none needs root."""
