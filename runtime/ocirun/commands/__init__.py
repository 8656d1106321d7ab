"""The commands of the life cycle, a file each, and the planning that they share."""
