"""What a container uses and has used, by its cgroups."""
