"""Programs that are run to their end: what they are given, what is watched, what came of them."""
