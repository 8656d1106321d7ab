"""Control groups: what to write, where, and the verbs that do it.

settings/   what to write: ``linux.resources`` as settings of cgroup files and systemd units; pure
paths       which directory of which hierarchy is the container's; pure
driver      the verbs, for all kinds of drivers; the driver "none"
choose      which driver a new container gets, and which one a record describes
drivers/    cgroup v1, cgroup v2, what the two share, systemd
systemd/    units, and systemd's bus
files/      descriptors of cgroup directories: open, make, walk, read, write, freeze, remove
usage/      what was used, and what is used now
"""
