"""CRIU: its service, its options, its files."""
