"""Safe configs for programs that nobody trusts: `sandbox` makes one, `save_config` writes any."""
