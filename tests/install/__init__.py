"""The wheel, the launcher and the sample bundles."""
