"""Checks for the guest: a kubelet whose pods are scopes of systemd on cgroup v2."""
