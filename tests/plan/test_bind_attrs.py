"""What a bind mount keeps of its source's flags, and what a user namespace forbids to take off."""

from __future__ import annotations

import pytest

from ocirun.plan.mounts.options import ATIME_CLASS, LOCKABLE, bind_attrs, parse

RO, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8
NOATIME, STRICTATIME, NODIRATIME = 0x10, 0x20, 0x80
NOSYMFOLLOW = 0x200000


# Source flags, option words, userns -> resulting attributes, or None where the mount must fail.
# The cases are those that runc's tests/integration/mounts_sshfs.bats pins.
@pytest.mark.parametrize(
    ("source", "text", "userns", "result"),
    [
        (RO | NOEXEC | NOSYMFOLLOW | NODIRATIME, "bind", False, RO | NOEXEC | NOSYMFOLLOW | NODIRATIME),
        (RO | NOEXEC | NOSYMFOLLOW | NODIRATIME, "bind", True, RO | NOEXEC | NOSYMFOLLOW | NODIRATIME),
        (RO | NOEXEC | NOSYMFOLLOW | NODIRATIME, "bind dev", False, NODIRATIME),
        (RO | NOEXEC | NOSYMFOLLOW | NODIRATIME, "bind dev", True, RO | NOEXEC | NODIRATIME),
        (RO, "bind nosuid nodev rprivate", False, NOSUID | NODEV),
        (RO, "bind nosuid nodev rprivate", True, RO | NOSUID | NODEV),
        (RO, "bind rw nosuid nodev rprivate", False, NOSUID | NODEV),
        (RO, "bind rw nosuid nodev rprivate", True, None),
        (NOSUID | NODEV | NOEXEC | NOATIME, "bind dev suid exec atime", False, NOATIME),
        (NODEV | NOSUID | NOATIME, "bind dev suid exec atime", True, None),
        (NODEV | NOSUID | NOEXEC | NOATIME, "bind ro", False, RO | NOATIME),
        (NODEV | NOSUID | NOEXEC | NOATIME, "bind ro", True, RO | NODEV | NOSUID | NOEXEC | NOATIME),
        (NODEV | NOSYMFOLLOW, "bind ro symfollow", False, RO),
        (NODEV | NOSYMFOLLOW, "bind ro symfollow", True, RO | NODEV),
        (NODEV | NOSYMFOLLOW, "bind rw", True, NODEV),
        (NODEV | NOSUID | NOATIME, "bind ro exec", False, RO | NOATIME),
        (NODEV | NOSUID | NOATIME, "bind ro exec", True, RO | NODEV | NOSUID | NOATIME),
        (NOATIME, "bind norelatime", False, NOATIME),
        (NOATIME, "bind atime", False, NOATIME),
        (NOATIME, "bind relatime", False, 0),
        (NOATIME, "bind nodiratime", False, NODIRATIME),
        (NODIRATIME, "bind strictatime", False, STRICTATIME),
        (NOATIME, "bind nodiratime strictatime", False, NODIRATIME | STRICTATIME),
        (NOATIME, "bind nodiratime norelatime", False, NODIRATIME),
        (NOATIME | NODIRATIME, "bind norelatime", True, NOATIME | NODIRATIME),
        (NODIRATIME, "bind strictatime", True, None),
        (0, "bind strictatime", True, None),
        (NOATIME, "bind strictatime", True, None),
        (NODIRATIME, "bind noatime", True, None),
        (0, "bind noatime", True, None),
        (0, "bind nodiratime", True, None),
        (STRICTATIME, "bind relatime", True, None),
        (STRICTATIME, "bind noatime", True, None),
        (STRICTATIME, "bind nodiratime", True, None),
        (NOATIME, "bind relatime", True, None),
        (STRICTATIME, "bind nostrictatime", True, STRICTATIME),
        (NODIRATIME, "bind diratime", True, NODIRATIME),
        (NODIRATIME, "bind norelatime", True, NODIRATIME),
        (0, "bind norelatime", True, 0),
        (NOATIME | NODIRATIME, "bind atime", True, NOATIME | NODIRATIME),
        # Unpinned there, but following from the same rules.
        (NOATIME, "bind noatime", True, NOATIME),
        (NOSUID, "bind dev", True, NOSUID),
        (NOSUID | NODEV, "bind sync", False, NOSUID | NODEV),
        (NOSUID | NODEV, "bind rro", False, NOSUID | NODEV),
        (NOSUID | NODEV, "bind defaults rslave", False, NOSUID | NODEV),
    ],
)
def test_bind_attrs(source: int, text: str, userns: bool, result: int | None) -> None:
    attr_set, attr_clr, deny = bind_attrs(parse(text.split(), pointer="/mounts/4"), userns=userns)
    refused = bool(source & deny & LOCKABLE)
    if deny & ATIME_CLASS:
        assert deny & ATIME_CLASS == ATIME_CLASS
        refused |= source & ATIME_CLASS != attr_set & ATIME_CLASS
    assert refused == (result is None)
    if result is not None:
        assert source & ~attr_clr | attr_set == result
    assert userns or not deny
