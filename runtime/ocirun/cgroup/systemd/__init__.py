"""systemd as the keeper of cgroups: units, and its bus."""
