"""Everything there is to say about one config.json, for the people who wrote it.

bundle       collects the findings: the checks of `create`, and those that only `check` has the time for
filesystems  words and values of mount options that the kernel would refuse
findings     one finding, and the list of them
hints        what a key that the spec does not have was meant to be
host         what this host lacks for it
inside       paths of the container, before there is one
missing      what it leaves out, and how that is read
peers        what runc and crun make of the same config where they differ
program      the container's program
schema       the second opinion of JSON Schema
"""
