"""What every module may use: it knows nothing of containers."""
