"""What to write: `linux.resources` as settings of cgroup files and systemd units.  Pure."""
