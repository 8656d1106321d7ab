"""Hooks of config.json."""
