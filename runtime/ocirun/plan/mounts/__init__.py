"""The part of the plan about the root file system and its mounts.  Pure."""
