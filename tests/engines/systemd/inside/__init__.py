"""What runs in the guest; a machine that lives longer must not run it."""
