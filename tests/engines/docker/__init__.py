"""Docker: dockerd with its containerd, and the docker command."""
