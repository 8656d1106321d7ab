"""Tests of the launcher's parts that need neither root nor a container."""
