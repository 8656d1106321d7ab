"""CRIU, which saves processes to files and makes them from files: found, started, spoken with.

`criu swrk FD` serves one caller at a socket, in messages of protocol buffers
(images/rpc.proto of CRIU).  It says what it does in a log in its working
directory; the end of that is the best account of a failure.
"""

from __future__ import annotations

import os
from struct import unpack

from ..._base import procfile
from ...errors import HostError, UnsupportedError, option
from .protobuf import BOOL, INT, TEXT, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .options import CheckpointOptions, RestoreOptions

    Notify = Callable[[str, int, int], None]

# enum criu_req_type
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
# enum criu_cg_mode, by the words of --manage-cgroups-mode
CGROUP_MODES = {"ignore": 0, "none": 1, "props": 2, "soft": 3, "full": 4, "strict": 5}
# enum criu_network_lock_method
NETWORK_LOCKS = {"iptables": 1, "nftables": 2, "skip": 3}
# Before this one it cannot restore under an external network namespace by descriptor.
OLDEST = (3, 11)

_PAIR = {"key": (1, TEXT), "val": (2, TEXT)}
OPTIONS = {
    "images_dir_fd": (1, INT),
    "pid": (2, INT),
    "leave_running": (3, BOOL),
    "ext_unix_sk": (4, BOOL),
    "tcp_established": (5, BOOL),
    "evasive_devices": (6, BOOL),
    "shell_job": (7, BOOL),
    "file_locks": (8, BOOL),
    "log_level": (9, INT),
    "log_file": (10, TEXT),
    "ps": (11, {"address": (1, TEXT), "port": (2, INT)}),
    "notify_scripts": (12, BOOL),
    "root": (13, TEXT),
    "parent_img": (14, TEXT),
    "track_mem": (15, BOOL),
    "auto_dedup": (16, BOOL),
    "work_dir_fd": (17, INT),
    "link_remap": (18, BOOL),
    "manage_cgroups": (24, BOOL),
    "cg_root": (25, {"ctrl": (1, TEXT), "path": (2, TEXT)}),
    "rst_sibling": (26, BOOL),
    "inherit_fd": (27, {"key": (1, TEXT), "fd": (2, INT)}),
    "ext_sharing": (29, BOOL),
    "ext_masters": (30, BOOL),
    "manage_cgroups_mode": (34, INT),
    "external": (37, TEXT),
    "empty_ns": (38, INT),
    "join_ns": (39, {"ns": (1, TEXT), "ns_file": (2, TEXT)}),
    "freeze_cgroup": (44, TEXT),
    "tcp_skip_in_flight": (46, BOOL),
    "lazy_pages": (48, BOOL),
    "status_fd": (49, INT),
    "orphan_pts_master": (50, BOOL),
    "config_file": (51, TEXT),
    "tcp_close": (52, BOOL),
    "lsm_profile": (53, TEXT),
    "lsm_mount_context": (63, TEXT),
    "network_lock": (64, INT),
}
_FEATURES = {"mem_track": (1, BOOL), "lazy_pages": (2, BOOL)}
_REQUEST = {
    "type": (1, INT),
    "opts": (2, OPTIONS),
    "notify_success": (3, BOOL),
    "keep_open": (4, BOOL),
    "features": (5, _FEATURES),
}
_ANSWER = {
    "type": (1, INT),
    "success": (2, BOOL),
    "restore": (4, {"pid": (1, INT)}),
    "notify": (5, {"script": (1, TEXT), "pid": (2, INT)}),
    "cr_errno": (7, INT),
    "features": (8, _FEATURES),
    "cr_errmsg": (9, TEXT),
    "version": (10, {"major_number": (1, INT), "minor_number": (2, INT), "sublevel": (4, INT)}),
}
_MESSAGE_LIMIT = 1 << 16
_LOG_TAIL = 1 << 14
_LOG_LINES = 8
# It tries to raise a limit of its own, and can do without.
_HARMLESS = "Can't setup RLIMIT_NOFILE for self"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_criu(program: str = "") -> str:
    """Return the path of the program, by PATH if none is given; engines may call without one.
    Raises UnsupportedError.
    """
    name = program or "criu"
    if "/" in name:
        places = [name]
    else:
        places = [f"{place}/{name}" for place in (os.environ.get("PATH") or _PATH).split(":") if place]
    for place in places:
        if _is_program(place):
            return os.path.abspath(place)
    raise UnsupportedError(
        f"checkpoint and restore need the program criu, and there is no {name!a}" + ("" if "/" in name else " in PATH"),
        remedy=f"install the package criu, or name the program with {option('criu')}",
    )


def _is_program(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return procfile.unanswered(error, path, otherwise=False)
    return mode & 0o170000 == 0o100000 and bool(mode & 0o111)


def shared_options(options: CheckpointOptions | RestoreOptions, data: dict[str, Any]) -> dict[str, Any]:
    """Return what a dump and a restore are told in the same words.

    data   config.json
    """
    return {
        "log_level": 4,
        "notify_scripts": True,
        # Mounts that are the host's may be in the host's peer groups.
        "ext_sharing": True,
        "ext_masters": True,
        "manage_cgroups": True,
        "orphan_pts_master": True,
        "shell_job": options.shell_job,
        "tcp_established": options.tcp_established,
        "ext_unix_sk": options.ext_unix_sk,
        "file_locks": options.file_locks,
        "link_remap": options.link_remap,
        "auto_dedup": options.auto_dedup,
        "lazy_pages": options.lazy_pages,
        "empty_ns": options.empty_ns or None,
        "network_lock": NETWORK_LOCKS.get(options.network_lock),
        "config_file": (data.get("annotations") or {}).get("org.criu.config"),
    }


class Connection:
    """One CRIU at work: our end of its socket.

    said   descriptor of a file with what it wrote to standard error
    """

    def __init__(self, said: int = -1) -> None:
        import _socket

        self._socket, self.other = self._pair(_socket)
        self.said = said
        self.pidfd = -1

    @staticmethod
    def _pair(module: Any) -> tuple[Any, int]:
        ours, other = module.socketpair(module.AF_UNIX, module.SOCK_SEQPACKET | module.SOCK_CLOEXEC, 0)
        return ours, other.detach()

    def start(self, program: str) -> None:
        """Start the program, for a dump: in our own namespaces and cgroups.  Raises HostError."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.said = os.memfd_create("criu", os.MFD_CLOEXEC)
        actions = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, self.said, 1),
            (os.POSIX_SPAWN_DUP2, self.said, 2),
            (os.POSIX_SPAWN_DUP2, self.other, 3),
        ]
        # Python ignores these two, and a program inherits that.
        default = [13, 25]  # SIGPIPE, SIGXFSZ
        try:
            pid = os.posix_spawn(program, ["criu", "swrk", "3"], os.environ, file_actions=actions, setsigdef=default)
        except OSError as error:
            raise HostError.from_os(program, error, call="posix_spawn") from None
        finally:
            os.close(null)
        self.pidfd = os.pidfd_open(pid)
        self.close_other()

    def close_other(self) -> None:
        """Leave the program's end of the socket to the program."""
        if self.other >= 0:
            os.close(self.other)
            self.other = -1

    def close(self) -> None:
        """End the program, if it is ours to wait for, and give up all descriptors."""
        self._socket.close()
        self.close_other()
        if self.pidfd >= 0:
            from .. import spawn

            spawn.end(self.pidfd, grace=10.0)
            os.close(self.pidfd)
            self.pidfd = -1
        if self.said >= 0:
            os.close(self.said)
            self.said = -1

    def version(self) -> tuple[int, int]:
        """Return its version.  Raises UnsupportedError for one that is too old."""
        found = self._ask({"type": VERSION, "keep_open": True}).get("version") or {}
        version = found.get("major_number", 0), found.get("minor_number", 0)
        if version < OLDEST:
            shown = ".".join(map(str, version))
            raise UnsupportedError(f"CRIU {shown} is too old: {'.'.join(map(str, OLDEST))} or newer is needed")
        return version

    def can(self, feature: str) -> bool:
        """Return whether CRIU and this kernel have ``mem_track`` or ``lazy_pages``."""
        answer = self._ask({"type": FEATURE_CHECK, "keep_open": True, "features": {feature: True}})
        return bool((answer.get("features") or {}).get(feature))

    def serve(self, kind: int, options: dict[str, Any], notify: Notify) -> dict[str, Any]:
        """Have it do something.

        notify   called with the name of a moment, the pid of the root task (0 before it is there), and a
                 descriptor that came along, or -1, which it has to close
        Returns the last message, of which ``success`` may be false.  Raises HostError when it is gone.
        """
        self._send({"type": kind, "opts": options})
        while True:
            answer, fd = self._receive()
            if answer.get("type") != NOTIFY:
                if fd >= 0:
                    os.close(fd)
                return answer
            told = answer.get("notify") or {}
            try:
                notify(told.get("script", ""), told.get("pid", 0), fd)
            except BaseException:
                self._send({"type": NOTIFY, "notify_success": False})
                raise
            self._send({"type": NOTIFY, "notify_success": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._send(request)
        return self._receive()[0]

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._socket.send(encode(request, _REQUEST))
        except OSError as error:
            raise self._gone(error) from None

    def _receive(self) -> tuple[dict[str, Any], int]:
        try:
            raw, ancillary, _, _ = self._socket.recvmsg(_MESSAGE_LIMIT, 64, 0x40000000)  # MSG_CMSG_CLOEXEC
        except OSError as error:
            raise self._gone(error) from None
        fds = [unpack("i", data[:4])[0] for level, kind, data in ancillary if (level, kind) == (1, 1)]
        if not raw:
            raise self._gone(None)
        try:
            return decode(raw, _ANSWER), fds[0] if fds else -1
        except ValueError as error:
            raise HostError(f"criu: its message cannot be read: {error}") from None

    def _gone(self, error: OSError | None) -> HostError:
        said = ""
        if self.said >= 0:
            said = os.pread(self.said, 4096, max(0, os.fstat(self.said).st_size - 4096)).decode("utf-8", "replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        text = f"criu ended: {lines[-1]}" if lines else "criu ended without a word"
        return HostError(text, call="recvmsg" if error is None else "sendmsg", errno=(error and error.errno) or 0)


def failure(what: str, answer: dict[str, Any], directory: int, log: str, path: str) -> HostError:
    """Return the error of a request that failed, with the end of the log.

    directory, log   of the log
    path             of the log, for the remedy
    """
    reason = log_tail(directory, log) or (answer.get("cr_errmsg") or "").strip()
    text = f"{what} failed" + (f": {reason}" if reason else "")
    remedy = f"the whole log is {path}"
    if "tables-restore" in reason and "No such file" in reason:
        other = option("network-lock")
        remedy = f"CRIU locks the network by the programs of iptables: install them, or see {other}; {remedy}"
    return HostError(text, call="criu", errno=abs(answer.get("cr_errno") or 0), remedy=remedy)


def log_tail(directory: int, name: str) -> str:
    """Return the last lines of a log that say Error, else its very last ones, without their times, as one line."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return ""
    try:
        raw = os.pread(fd, _LOG_TAIL, max(0, os.fstat(fd).st_size - _LOG_TAIL))
    finally:
        os.close(fd)
    lines = [_without_time(line) for line in raw.decode("utf-8", "replace").splitlines() if line.strip()]
    # Each once, and the last ones of them.
    errors = list(dict.fromkeys(line for line in lines if "Error" in line and _HARMLESS not in line))
    return " | ".join((errors or lines)[-_LOG_LINES:])


def _without_time(line: str) -> str:
    """Return ``(00.012345)    42: Error ...`` without what stands in parentheses in front."""
    line = line.strip()
    return line.partition(")")[2].strip() if line.startswith("(0") else line


def cgroup_mode(pid: int) -> str:
    """Return how CRIU deals with cgroups if nobody says: soft, as runc has it, where that does the host no harm.

    Where a process is in the root of a hierarchy CRIU would take all of the host's groups for the container's,
    and make them again on restore. V2, also besides v1, it mounts anew for that, which takes the options of the
    host's own mount away (nsdelegate, memory_recursiveprot). Both: ignore.
    """
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return mode_for(file.read())


def mode_for(text: str) -> str:
    """Return `cgroup_mode` for the text of /proc/PID/cgroup."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    unified = any(line[1:2] == [""] for line in lines)
    return "ignore" if unified or any(path == "/" for _, _, path in lines) else "soft"
