"""Files and directories of cgroup file systems."""
