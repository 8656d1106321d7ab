"""What this host and this user allow: each thing is tried in a process that is thrown away, and nothing is changed.

host       the order of the attempts, and what a plain `run` needs of them
bundle     what a config needs of them
check      one answer
attempt    small plans for the helper, and where they end
situation  facts that explain a refusal
causes     from a refused call to its reason and the command that mends it
namespaces, ids, mounts, cgroups, rest   the attempts themselves
"""
