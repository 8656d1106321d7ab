"""What a config asks of this host: the plan for it, and what the plan alone cannot tell, as it looks at no file."""

from __future__ import annotations

import os
from errno import EACCES
from stat import S_ISREG

from .._base import procfile
from .._base.jsonio import pointer_token
from ..cgroup.paths import POINTER as CGROUP
from ..cgroup.settings.translation import UNIFIED
from ..config import load, sysctl
from ..config.report import LIMIT
from ..errors import ConfigError, HostError, UnsupportedError, errno_words
from ..host import facts
from ..plan.mounts import words
from .findings import ERROR, HOST, WARNING, Finding
from .inside import Inside
from .program import EARLIER_HOOKS, Program, made_by_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..cgroup.driver import Driver
    from ..execute.options import CreateOptions


_ITSELF = frozenset(("src-nofollow", "copy-symlink"))
# Kinds of hooks whose programs are files of the host, in the order in which they run.
_OF_HOST = (*EARLIER_HOOKS, "poststart", "poststop")


def findings(
    raw: bytes, data: dict[str, Any], *, path: str, bundle: str, root: str, options: CreateOptions
) -> list[Finding]:
    """Return the findings on this host, for a config without errors.

    raw, data   its bytes, and what is in them
    The others are those of `bundle.audit`.
    """
    found = _of_plan(raw, path=path, bundle=bundle, root=root, options=options)
    rootfs = os.path.normpath(os.path.join(bundle, data["root"]["path"]))
    found += _files(data, rootfs, bundle)
    for more in (_sources(data, bundle), _namespaces(data), _hooks(data), _sysctls(data), _types(data)):
        for finding in more:
            if len(found) >= LIMIT:
                break
            found.append(finding)
    return found


def _of_plan(raw: bytes, *, path: str, bundle: str, root: str, options: CreateOptions) -> list[Finding]:
    """Tell what making the plan says."""
    from ..commands import planning

    try:
        config = load.from_bytes(raw, bundle=bundle, path=path)
        plan, driver = planning.plan(config, "check", root, options, keeps_session=options.foreground, for_show=True)
    except ConfigError as error:
        return [Finding.of(problem, HOST) for problem in error.problems if not problem.warning]
    except (UnsupportedError, HostError) as error:
        return [Finding(ERROR, HOST, error.pointer, message(error))]
    found = [Finding.of(problem, HOST) for problem in plan.warnings]
    return found + list(_groups(driver))


def message(error: UnsupportedError | HostError) -> str:
    """Return the words of an error and its remedy, without the pointer, which stands beside them."""
    line = error.line()
    return line.removeprefix(f"{error.pointer}: ") if error.pointer else line


def _groups(driver: Driver) -> Iterator[Finding]:
    """Return hierarchies that are mounted read-only: the plan has groups in them."""
    if driver.unit is not None:
        return
    layout = facts.cgroup_layout()
    for group in driver.groups:
        mount = layout.mount("" if group.name == UNIFIED else group.name)
        if mount.readonly:
            text = f"no cgroup can be made in {mount.path}, which is mounted read-only"
            yield Finding(ERROR, HOST, CGROUP, text)
            return


def _files(data: dict[str, Any], rootfs: str, bundle: str) -> list[Finding]:
    """Return the root file system, and the program in it."""
    try:
        with os.scandir(rootfs) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        if error.errno == EACCES and os.geteuid():
            text = f"{rootfs}: {errno_words(EACCES)}: user {os.geteuid()} cannot look into it"
            return [Finding(WARNING, HOST, "/root/path", text)]
        text = f"{rootfs}: {errno_words(error.errno or 0)}"
        return [Finding(ERROR, HOST, "/root/path", text, expected="a directory")]
    args = (data.get("process") or {}).get("args")
    found = list(Program(data, Inside(rootfs, data.get("mounts") or (), bundle)).findings()) if args else []
    if not empty:
        return found
    severity = ERROR if any(finding.severity == ERROR for finding in found) else WARNING
    return [Finding(severity, HOST, "/root/path", f"{rootfs}: is an empty directory", expected="a root file system")]


def _sources(data: dict[str, Any], bundle: str) -> Iterator[Finding]:
    """Return sources of binds that are not there."""
    late = made_by_hooks(data)
    for index, mount in enumerate(data.get("mounts") or ()):
        options = words.given(mount)
        if "bind" not in options and "rbind" not in options:
            continue
        source = os.path.join(bundle, mount.get("source") or "")
        try:
            # Of a link that is itself the source nobody asks where it leads.
            itself = 0 if _ITSELF.isdisjoint(options) else os.O_NOFOLLOW
            os.close(os.open(source, os.O_PATH | os.O_CLOEXEC | itself))
        except OSError as error:
            severity, text = _lack(source, error.errno or 0)
            severity, text = (WARNING, f"{text}; a hook may make it") if late else (severity, text)
            yield Finding(severity, HOST, f"/mounts/{index}/source", text, expected="a file or directory to bind")


def _lack(path: str, number: int) -> tuple[str, str]:
    """Return how bad it is that a path of the host cannot be opened, and the words for its errno."""
    hidden = number == EACCES and os.geteuid() != 0
    return WARNING if hidden else ERROR, f"{path}: {errno_words(number)}"


def _namespaces(data: dict[str, Any]) -> Iterator[Finding]:
    """Return namespaces to be joined that are not there."""
    for index, namespace in enumerate((data.get("linux") or {}).get("namespaces") or ()):
        path = namespace.get("path")
        if not path:
            continue
        try:
            os.close(os.open(path, os.O_PATH | os.O_CLOEXEC))
        except OSError as error:
            severity, text = _lack(path, error.errno or 0)
            place = f"/linux/namespaces/{index}/path"
            yield Finding(severity, HOST, place, text, expected=f"a {namespace['type']} namespace")


def _hooks(data: dict[str, Any]) -> Iterator[Finding]:
    """Return programs of hooks that are not there, or that nobody may execute."""
    late = False
    for kind in _OF_HOST:
        for index, hook in enumerate((data.get("hooks") or {}).get(kind) or ()):
            path = hook["path"]
            try:
                mode = os.stat(path).st_mode
                why = "is not executable" if not mode & 0o111 else "" if S_ISREG(mode) else "is no regular file"
            except OSError as error:
                why = errno_words(error.errno or 0)
            if why:
                # What fails after the end of the container is a warning of `delete`.
                severity = WARNING if late or kind == "poststop" else ERROR
                text = f"{path}: {why}" + ("; a hook before it may make it" if late else "")
                yield Finding(severity, HOST, f"/hooks/{kind}/{index}/path", text, expected="a program of the host")
            late = True


def _sysctls(data: dict[str, Any]) -> Iterator[Finding]:
    """Return parameters that this kernel does not have."""
    for key in (data.get("linux") or {}).get("sysctl") or {}:
        file = sysctl.path(key)
        if procfile.exists(f"/proc/sys/{file}"):
            continue
        # Those of a device are there as soon as the device is.
        of_device = file.startswith("net/") and ("/conf/" in file or "/neigh/" in file)
        text = "this kernel has no such parameter" + (
            " yet: is the device moved, or made by a hook?" if of_device else ""
        )
        yield Finding(WARNING if of_device else ERROR, HOST, f"/linux/sysctl/{pointer_token(key)}", text, found=key)


def _types(data: dict[str, Any]) -> Iterator[Finding]:
    """Return types of file systems that the kernel does not have now."""
    known = {line.split()[-1] for line in procfile.text("/proc/filesystems", 1 << 16).splitlines() if line.split()}
    for index, mount in enumerate(data.get("mounts") or ()):
        options, kind = words.given(mount), mount.get("type") or ""
        if not known or not kind or "bind" in options or "rbind" in options or kind == "cgroup":
            continue
        if kind.partition(".")[0] not in known:
            text = f"the kernel has no file system {kind[:60]!a} now; it may be in a module that comes with the mount"
            yield Finding(WARNING, HOST, f"/mounts/{index}/type", text, found=kind[:60])
