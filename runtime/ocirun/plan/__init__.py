"""From a checked config and the facts of a host to a plan; opens no file."""
