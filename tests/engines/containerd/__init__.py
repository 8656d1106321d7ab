"""containerd: its own client ctr, and the CRI plugin that Kubernetes talks to."""
