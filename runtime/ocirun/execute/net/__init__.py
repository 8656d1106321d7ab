"""Network devices of a container."""
