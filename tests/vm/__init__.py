"""A second host for the tests: a Debian guest with systemd and cgroup v2, under QEMU.

`run` is the command, README.md tells how to use it.  `guest` says what is in
the image, `image` builds it, `machine` starts it, `link` talks to `agent`,
which is the one program of ours that runs in the guest from the start.
"""
