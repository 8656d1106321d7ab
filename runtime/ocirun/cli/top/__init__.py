"""The table of `ocirun top`, and its screen."""
