"""The checks; importing this package registers them all."""

from __future__ import annotations

from . import (
    cgroup_ownership,
    cgroups,
    errors,
    features,
    hooks,
    idmap,
    lifecycle,
    mount_options,
    mounts,
    namespaces,
    netdevices,
    operations,
    process,
    rdt,
    required,
    seccomp,
    state,
    stop_signal,
)

__all__ = (
    "cgroup_ownership",
    "cgroups",
    "errors",
    "features",
    "hooks",
    "idmap",
    "lifecycle",
    "mount_options",
    "mounts",
    "namespaces",
    "netdevices",
    "operations",
    "process",
    "rdt",
    "required",
    "seccomp",
    "state",
    "stop_signal",
)
