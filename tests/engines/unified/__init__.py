"""Engines on a machine that has cgroup v2 only."""
