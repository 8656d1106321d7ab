"""Rules on ``mounts``, ``linux.devices`` and the paths that are masked or read-only."""

from __future__ import annotations

from . import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report


def check(data: dict[str, Any], report: Report) -> None:
    """Add what is wrong with mounts, devices and covered paths."""
    if data.get("mounts") and report.sound("/mounts"):
        for index, mount in enumerate(data["mounts"]):
            _mount(mount, f"/mounts/{index}", report)
    linux = data.get("linux")
    if not isinstance(linux, dict):
        return
    if linux.get("devices") and report.sound("/linux/devices"):
        for index, device in enumerate(linux["devices"]):
            _device(device, f"/linux/devices/{index}", report)
    for key in ("maskedPaths", "readonlyPaths"):
        if linux.get(key) and not namespaces.given(linux, "mount", report):
            # Without one the mount would cover the path for the whole host.
            expected = "an entry of type mount in linux.namespaces"
            report.add(f"/linux/{key}", "needs a mount namespace", expected=expected)


def _mount(mount: dict[str, Any], pointer: str, report: Report) -> None:
    destination = mount["destination"]
    if destination[0] != "/":
        # config.md: relative ones should be read as relative to "/".
        report.warn(
            f"{pointer}/destination",
            f"{destination!a} is relative and is taken as relative to /",
            expected="an absolute path",
            found=destination,
        )
    users, groups = mount.get("uidMappings"), mount.get("gidMappings")
    if bool(users) != bool(groups):
        there, lacking = ("uidMappings", "gidMappings") if users else ("gidMappings", "uidMappings")
        report.add(f"{pointer}/{there}", f"needs {lacking} too", expected="both mappings or none")
    if users or groups:
        from . import ids

        ids.mapping(users or [], f"{pointer}/uidMappings", report)
        ids.mapping(groups or [], f"{pointer}/gidMappings", report)


def _device(device: dict[str, Any], pointer: str, report: Report) -> None:
    if device["type"] != "p":
        for key in ("major", "minor"):
            if key not in device:
                text = f"is required for type {device['type']}"
                report.add(f"{pointer}/{key}", text, expected="a device number")
    path = device["path"]
    parts = path.split("/")
    if ".." in parts or not path.strip("/."):
        report.wrong(f"{pointer}/path", 'the path of a file, without ".."', path)
