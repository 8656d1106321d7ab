"""Id-mapped mounts: whose files they are, seen from inside."""

from __future__ import annotations

import os

from live import kernel

from ..bench import mountinfo
from ..registry import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from live.bundles import Bundle

    from ..bench import Bench

MAP = [{"containerID": 0, "hostID": 200000, "size": 1000}]


def _source(bench: Bench) -> str:
    """A tree with a mount in it; both have a file of user 7."""
    path = bench.directory("source")
    os.mkdir(f"{path}/below")
    kernel.mount("below", f"{path}/below", "tmpfs")
    for name in ("file", "below/file"):
        with open(f"{path}/{name}", "w", encoding="ascii"):
            pass
        os.chown(f"{path}/{name}", 7, 7)
    return path


def _bundle(bench: Bench, option: str, mappings: bool = True) -> Bundle:
    recursive = option == "ridmap"
    below = "/mnt/below/file" if recursive else ""
    bundle = bench.shell(f"stat -c %u:%g /mnt/file {below}; cat /proc/self/mountinfo")
    number = bundle.mount("/mnt", _source(bench), "rbind" if recursive else "bind", option)
    if mappings:
        bundle.mounts[number] |= {"uidMappings": MAP, "gidMappings": MAP}
    return bundle


def _seen(bench: Bench, bundle: Bundle) -> tuple[list[str], list[str]]:
    """Owners of the files, and the mounts that the kernel shows as id-mapped."""
    lines = bench.output(bundle).splitlines()
    owners = [line for line in lines if " " not in line]
    mounts = mountinfo({"mountinfo": "\n".join(line for line in lines if " " in line)})
    return owners, sorted(place for place in mounts if "idmapped" in mounts[place]["options"])


def _option(option: str, places: list[str]) -> None:
    names = f"config.mounts.options.{option}"

    @covers(names, f"{names}.applied", f"{names}.own-mappings", f"{names}.mount_setattr", f"{names}.not-passed")
    def mapped(bench: Bench) -> None:
        owners, shown = _seen(bench, _bundle(bench, option))
        assert owners == ["200007:200007"] * len(places), owners
        assert shown == places, f"shown as id-mapped: {shown}"

    @covers(f"{names}.no-mappings")
    def none_of_its_own(bench: Bench) -> None:
        """With a user namespace: either its mapping is used, or it is an error; never none at all."""
        bundle = _bundle(bench, option, mappings=False)
        bundle.user_namespace()
        bundle.save()
        result = bench.run(bundle)
        if result.code == 0:
            owner = result.out.split()[0]
            assert owner == "7:7", f"the file of user 7 belongs to {owner}: the mount has no mapping"

    @covers(f"{names}.no-user-namespace")
    def no_user_namespace(bench: Bench) -> None:
        bench.fails(_bundle(bench, option, mappings=False))


_option("idmap", ["/mnt"])
_option("ridmap", ["/mnt", "/mnt/below"])


def _half(part: str, other: str) -> None:
    @covers(f"config.mounts.{part}.both")
    def alone(bench: Bench) -> None:
        bundle = _bundle(bench, "idmap")
        del bundle.mounts[-1][other]
        bench.fails(bundle)

    @covers(f"config.mounts.{part}.mount_setattr")
    def mapped(bench: Bench) -> None:
        owners, shown = _seen(bench, _bundle(bench, "idmap"))
        owner = owners[0].split(":")[part.startswith("gid")]
        assert owner == "200007" and shown == ["/mnt"], (owners, shown)


_half("uidMappings", "gidMappings")
_half("gidMappings", "uidMappings")
