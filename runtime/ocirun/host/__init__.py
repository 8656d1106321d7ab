"""Facts of the host, read on demand."""
