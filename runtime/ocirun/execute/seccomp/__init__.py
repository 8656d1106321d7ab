"""Seccomp filters: compiled, kept, and their listener."""
