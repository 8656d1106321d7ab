"""User and group ids: maps of processes, id-mapped mounts, device nodes of a user namespace."""
