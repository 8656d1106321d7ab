"""Standard streams, terminals, signals and sockets of a container and its caller."""
