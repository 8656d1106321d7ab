"""Docker Swarm: several machines with a dockerd each."""
