"""containerd 2 with its CRI plugin."""
