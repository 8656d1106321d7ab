"""Control groups: what to write, where, and the verbs that do it.

translate       ``linux.resources`` as settings of cgroup files; pure.  translate_v1 and its two
                neighbours, device_rules and block_io, hold the arithmetic of v1
place           which directory of which hierarchy is the container's; pure
driver          the verbs, for all kinds of drivers; the driver "none"; choose and from_record
v1              the driver for v1 hierarchies; group_steps, freezer, members, usage, statistics and oom do parts
                of its work
restore         the settings that undo settings; pure
tree            descriptors of cgroup directories: open, make, walk, read, write, remove
"""
