"""Carry a plan out: the host's side, and the helper that becomes the container's first process."""
