"""The sample bundles: their recipes, their configs, and what they say when run."""
