"""A newer generation of the engines: those of a later Debian, run in a tree of it."""
