"""The part of the plan about the container's program.  Pure."""
