"""Black-box tests: the command line as root, against the kernel that is there.

The runtime under test is ``build/bin/ocirun`` of this checkout, or the program
named by the environment variable ``OCIRUN_TEST_RUNTIME``.  Any runtime with
runc's command line can be put there as a yardstick; where the OCI runtime
specification and runc disagree the tests follow the specification, and say so.
"""
