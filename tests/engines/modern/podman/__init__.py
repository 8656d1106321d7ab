"""podman 5 and buildah 1.43."""
