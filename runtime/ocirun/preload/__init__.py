"""The preloaded interpreter: how it is made, and why a process is not it."""
