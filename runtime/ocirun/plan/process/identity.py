"""Who the container's process is, as numbers: ids, groups, capabilities, limits, environment.

Pure functions from the parts of ``process`` in config.json to plain values.
They expect values of the right JSON type and raise ConfigError, with the
pointer of the value, for what no kernel could take.  What the kernel of this
host cannot grant comes back as a warning and is left out, as the
runtime-spec asks for capabilities (config.md "Linux Process").
"""

from __future__ import annotations

from ...errors import ConfigError, Problem
from .. import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_UINT64_MAX = 2**64 - 1
_ALL = _UINT64_MAX


class CapabilityMasks:
    """Five capability sets, bit N for capability N, as capset(2) and prctl(2) count them.

    warnings   Problems about names that were left out
    """

    __slots__ = ("ambient", "bounding", "effective", "inheritable", "permitted", "warnings")

    def __init__(
        self,
        bounding: int = 0,
        effective: int = 0,
        inheritable: int = 0,
        permitted: int = 0,
        ambient: int = 0,
        warnings: Sequence[Problem] = (),
    ) -> None:
        self.bounding = bounding
        self.effective = effective
        self.inheritable = inheritable
        self.permitted = permitted
        self.ambient = ambient
        self.warnings = list(warnings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CapabilityMasks) and all(getattr(self, s) == getattr(other, s) for s in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        masks = ", ".join(f"{name}={getattr(self, name):#x}" for name in self.__slots__ if name != "warnings")
        return f"CapabilityMasks({masks})"


def capabilities(
    block: Mapping[str, Any] | None,
    *,
    last_cap: int,
    grantable: int = _ALL,
    pointer: str = "/process/capabilities",
) -> CapabilityMasks:
    """Return the five sets of ``process.capabilities``; all empty when the block is absent.

    last_cap    the highest capability the kernel knows (/proc/sys/kernel/cap_last_cap)
    grantable   mask of what the runtime may hand on: its own permitted and bounding set, or all ones
                when the container has its own user namespace
    Only the upper-case ``CAP_X`` form is a name.  Names that are unknown here or to the kernel, effective
    ones that are not permitted, inheritable ones outside the bounding set, and ambient ones that are not
    both permitted and inheritable cannot be granted (capabilities(7)): they are left out with a warning.
    """
    result = CapabilityMasks()
    if not block:
        return result
    kernel = (2 << last_cap) - 1
    told: set[str] = set()

    def read(which: str, within: int, why: str) -> int:
        mask = 0
        without: list[str] = []
        first = 0
        for index, name in enumerate(block.get(which) or ()):
            number = c.CAPABILITIES.get(name)
            if number is None:
                reason = f"is not the name of a capability{_meant(name)}"
            elif not kernel >> number & 1:
                reason = "is not known to this kernel"
            elif not grantable >> number & 1:
                reason = "is not held by the runtime itself"
            elif not within >> number & 1:
                first = first if without else index
                without.append(name)
                continue
            else:
                mask |= 1 << number
                continue
            if name not in told:
                told.add(name)
                message = f"{name!a} {reason}, so it is left out"
                result.warnings.append(Problem(f"{pointer}/{which}/{index}", message, found=name, warning=True))
        if without:
            # One line for all of them: some engines ask for a whole set in vain, in every container.
            message = f"{', '.join(without)}: {why}, so left out"
            result.warnings.append(Problem(f"{pointer}/{which}/{first}", message, found=without[0], warning=True))
        return mask

    result.bounding = read("bounding", _ALL, "")
    result.permitted = read("permitted", _ALL, "")
    result.effective = read("effective", result.permitted, "effective but not permitted")
    result.inheritable = read("inheritable", result.bounding, "inheritable but not in the bounding set")
    both = result.permitted & result.inheritable
    result.ambient = read("ambient", both, "ambient but not both permitted and inheritable")
    return result


def rlimits(
    items: Sequence[Mapping[str, Any]] | None, *, pointer: str = "/process/rlimits"
) -> list[tuple[int, int, int]]:
    """Return ``process.rlimits`` as (resource, soft, hard) for prlimit(2); 2**64 - 1 is RLIM_INFINITY.

    Raises ConfigError for an unknown or repeated type, a value outside 64 bits, or soft above hard.
    """
    result: list[tuple[int, int, int]] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, item in enumerate(items or ()):
        here = f"{pointer}/{index}"
        name, soft, hard = item["type"], item["soft"], item["hard"]
        number = c.RLIMITS.get(name)
        if number is None:
            problems.append(Problem(f"{here}/type", f"{name!a} is not a resource limit of Linux", found=name))
            continue
        if name in seen:
            problems.append(Problem(f"{here}/type", f"{name} is given twice", found=name))
        seen.add(name)
        for key, value in (("soft", soft), ("hard", hard)):
            if not 0 <= value <= _UINT64_MAX:
                problems.append(Problem(f"{here}/{key}", f"{value} is not an unsigned 64-bit number"))
        if soft > hard:
            problems.append(Problem(f"{here}/soft", f"the soft limit {soft} is above the hard limit {hard} of {name}"))
        result.append((number, soft, hard))
    if problems:
        raise ConfigError(problems)
    return result


def user_ids(user: Mapping[str, Any] | None, *, pointer: str = "/process/user") -> tuple[int, int]:
    """Return (uid, gid) of ``process.user`` in the container's user namespace; 0 where absent.

    Raises ConfigError outside 0 .. 2**32 - 2: the last number means "no change" to setresuid(2).
    """
    user = user or {}
    uid, gid = user.get("uid", 0), user.get("gid", 0)
    problems = [p for p in (_id_problem(uid, f"{pointer}/uid"), _id_problem(gid, f"{pointer}/gid")) if p]
    if problems:
        raise ConfigError(problems)
    return uid, gid


def additional_gids(user: Mapping[str, Any] | None, *, pointer: str = "/process/user") -> tuple[int, ...]:
    """Return the whole supplementary group list for setgroups(2), as it stands: the kernel sorts it, and takes doubles.

    Empty when ``additionalGids`` is absent: it must be set all the same, or the caller's groups stay.
    """
    gids = (user or {}).get("additionalGids") or ()
    here = f"{pointer}/additionalGids"
    problems = [p for p in (_id_problem(gid, f"{here}/{index}") for index, gid in enumerate(gids)) if p]
    if len(gids) > c.NGROUPS_MAX:
        problems.append(Problem(here, f"holds {len(gids)} groups; Linux takes at most {c.NGROUPS_MAX}"))
    if problems:
        raise ConfigError(problems)
    return tuple(gids)


def _id_problem(number: int, pointer: str) -> Problem | None:
    if 0 <= number <= c.ID_MAX:
        return None
    return Problem(pointer, f"{number} is not an id: ids go from 0 to {c.ID_MAX}", found=str(number))


def umask(user: Mapping[str, Any] | None, *, pointer: str = "/process/user") -> int | None:
    """Return ``process.user.umask``, or None where absent.  A JSON number is decimal: 18 is 0o022."""
    value: int | None = (user or {}).get("umask")
    if value is not None and not 0 <= value <= 0o777:
        message = f"{value} is not a umask: in JSON it is a decimal number from 0 to 511 (0o777)"
        raise ConfigError([Problem(f"{pointer}/umask", message, found=str(value))])
    return value


def oom_score_adj(process: Mapping[str, Any] | None, *, pointer: str = "/process") -> int | None:
    """Return ``process.oomScoreAdj``, or None where absent: then the value of the caller stays."""
    value: int | None = (process or {}).get("oomScoreAdj")
    if value is not None and not -1000 <= value <= 1000:
        message = f"{value} is outside -1000 .. 1000"
        raise ConfigError([Problem(f"{pointer}/oomScoreAdj", message, found=str(value))])
    return value


def environment(env: Sequence[str] | None, *, pointer: str = "/process/env") -> tuple[list[str], bool]:
    """Return ``process.env`` with each variable once, and whether HOME is still to be added.

    The last entry of a name wins and keeps its place.  An empty HOME counts as unset and takes earlier
    ones with it, as in runc.  Values may hold anything but a NUL, newlines too.
    Raises ConfigError for an entry without ``=`` or name, with a NUL, or that is not Unicode.
    """
    problems: list[Problem] = []
    last: dict[str, str] = {}
    for index, entry in enumerate(env or ()):
        name, equals, _ = entry.partition("=")
        if not equals or not name:
            reason = "has no name" if equals else "has no ="
        elif "\0" in entry:
            reason = "holds a NUL"
        elif not entry.isascii() and any("\ud800" <= letter <= "\udfff" for letter in entry):
            reason = "is not valid Unicode"
        else:
            last.pop(name, None)
            last[name] = entry
            continue
        # The value may be a secret: problems show the name only.
        message = f"the environment entry {name[:60]!a} {reason}"
        problems.append(Problem(f"{pointer}/{index}", message, expected="NAME=value"))
    if problems:
        raise ConfigError(problems)
    if last.get("HOME") == "HOME=":
        del last["HOME"]
    return list(last.values()), "HOME" not in last


def with_listen_fds(env: Sequence[str], count: int) -> list[str]:
    """Return `env` plus LISTEN_FDS and LISTEN_PID for `count` inherited sockets, in place of earlier ones.

    sd_listen_fds(3) compares LISTEN_PID with its own pid: 1, the container's first process.
    """
    if count <= 0:
        return list(env)
    kept = [entry for entry in env if not entry.startswith(("LISTEN_FDS=", "LISTEN_PID="))]
    return [*kept, f"LISTEN_FDS={count}", "LISTEN_PID=1"]


def expand_clone_flags(flags: int) -> list[str]:
    """Return the namespace types in a word of CLONE_NEW* flags, in the order of the OCI spec's list."""
    return [kind for kind, flag in c.NAMESPACE_FLAGS.items() if flags & flag]


def _meant(name: str) -> str:
    """Return `` (did you mean "CAP_KILL"?)``, "" where no name is near."""
    from ..._base.near import did_you_mean

    near = did_you_mean(name, c.CAPABILITIES)
    return f" ({near})" if near else ""
