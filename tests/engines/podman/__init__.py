"""podman with conmon, as root and as an ordinary user, and buildah."""
