"""The conformance suite: each requirement of the OCI runtime specification for Linux, tried on a runtime's program.

`spec/` lists the requirements, one table for each file of the specification;
`checks/` tries them; `python -m conformance --runtime PROGRAM` (with `tests`
on the module path, or `./dev conformance`) runs it all and prints a table.
"""
