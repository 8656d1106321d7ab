"""Engines on cgroup v2 with systemd as the maker of cgroups, in the guest of tests/vm."""
