"""The Python API, in this very process."""
