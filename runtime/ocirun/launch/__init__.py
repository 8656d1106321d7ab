"""Carry a plan out: the host's operations here, the container's in the helper."""
