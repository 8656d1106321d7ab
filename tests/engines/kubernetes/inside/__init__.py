"""Checks for the guest: a kubelet and the validation suite where systemd makes the cgroups, on version 2."""
