"""Tests of ocirun.cgroup and ocirun.host.cgroups; only test_v1_live needs root."""
