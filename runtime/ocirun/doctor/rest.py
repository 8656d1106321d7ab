"""What is no attempt in namespaces: the state root, seccomp, criu."""

from __future__ import annotations

import os
import stat
from errno import EACCES

from .._base import procfile
from ..errors import OcirunError, UnsupportedError, errno_words, option
from ..execute.criu import service
from ..host import facts, libseccomp
from .check import OK, REFUSED, REST, Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .situation import Situation

STATE = "state root"
SECCOMP = "seccomp"
CRIU = "checkpoint"
PRELOADED = "preloaded interpreter"


def state_root(root: str) -> Check:
    """Tell whether containers' state can be kept at `root`, which need not be there yet.  Raises HostError."""
    there = root
    while there != "/" and not procfile.exists(there):
        there = os.path.dirname(there)
    status = os.stat(there)
    other = f"choose another with {option('root')}, or set XDG_RUNTIME_DIR"
    if there == root:
        if not stat.S_ISDIR(status.st_mode):
            return Check(REST, STATE, REFUSED, f"{root} is no directory", remedy=other)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            text = f"{root} belongs to uid {status.st_uid} with mode {status.st_mode & 0o7777:04o}"
            return Check(REST, STATE, REFUSED, f"{text}, and it must be the caller's own alone", remedy=other)
    figures = os.statvfs(there)
    if figures.f_flag & os.ST_RDONLY:
        remedy = f"mount a tmpfs there; or {other}"
        return Check(REST, STATE, REFUSED, f"{there} is on a file system that is mounted read-only", remedy=remedy)
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        return Check(
            REST, STATE, REFUSED, f"{there}: {errno_words(EACCES)}, and {root} is to be made there", remedy=other
        )
    if figures.f_files and not figures.f_favail:
        return Check(REST, STATE, REFUSED, f"{there} has no inode left", remedy=other)
    if figures.f_blocks and not (figures.f_bavail if os.geteuid() else figures.f_bfree):
        return Check(REST, STATE, REFUSED, f"{there} has no room left", remedy=f"make room there; or {other}")
    noexec = "; noexec there does no harm" if figures.f_flag & os.ST_NOEXEC else ""
    return Check(REST, STATE, OK, f"{root}{noexec}")


def seccomp(s: Situation) -> Check:
    """Tell whether filters can be compiled and loaded."""
    if facts.seccomp_flags() < 0:
        text = "the kernel, or a filter that ocirun runs under, lets no filter be loaded"
        remedy = "allow the call seccomp in the outer filter" if s.filtered else "a kernel with CONFIG_SECCOMP_FILTER"
        return Check(REST, SECCOMP, REFUSED, text, remedy=remedy, call="seccomp")
    try:
        version = libseccomp.load().version
    except OcirunError as error:
        return _of(SECCOMP, error)
    under = "; ocirun itself runs under a filter" if s.filtered else ""
    return Check(REST, SECCOMP, OK, f"libseccomp {version}{under}")


def checkpoint(program: str) -> Check:
    """Tell whether criu is there."""
    try:
        return Check(REST, CRIU, OK, service.find_criu(program))
    except UnsupportedError as error:
        return _of(CRIU, error)


def preloaded(told: str) -> Check:
    """Tell of the preloaded interpreter, without which all works, and takes longer.

    told   "yes", or "no (why)"
    """
    if told == "yes":
        return Check(REST, PRELOADED, OK)
    why = told.removeprefix("no (").removesuffix(")")
    remedy = "`ocirun preload` makes it, as the owner of the installation" if why == "not made yet" else ""
    return Check(REST, PRELOADED, REFUSED, why, remedy=remedy)


def _of(name: str, error: OcirunError) -> Check:
    return Check(REST, name, REFUSED, error.message, remedy=error.remedy, call=error.call, errno=error.errno)
