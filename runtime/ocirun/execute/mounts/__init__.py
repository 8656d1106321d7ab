"""The host's mounts."""
