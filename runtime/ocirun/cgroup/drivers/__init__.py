"""Who writes: a driver for each way to have cgroups."""
