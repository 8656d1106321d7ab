"""The command line: option tables, one module a command, and the one place that prints errors."""
