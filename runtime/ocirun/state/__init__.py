"""The state directory of a container and what is kept in it."""
