"""Docker 28 and its BuildKit."""
