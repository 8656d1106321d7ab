"""The guest for another machine: its packages are extracted, as their own scripts cannot run here.

What those scripts would have done, as far as the tests need it, `set_up` does.
"""

from __future__ import annotations

import glob
import os
import shutil

from . import arch

# Debian's essential packages, which are not extracted unless they are named.
PACKAGES = (
    "base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils", "grep",
    "gzip", "hostname", "init-system-helpers", "libc-bin", "libpam-runtime", "login", "mawk", "ncurses-base", "passwd",
    "perl-base", "sed", "sysvinit-utils", "tar",
)  # fmt: skip
OPTIONS = (
    "--variant=extract", f"--architectures={arch.THIS.debian}", "--skip=check/qemu",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
)  # fmt: skip
PROGRAMS = {"depmod": "kmod"}

# Name, uid and gid of daemons' users; 0 for a group without a user.
USERS = {"messagebus": 101, "systemd-network": 998, "systemd-resolve": 997, "systemd-timesync": 996}
GROUPS = {"systemd-journal": 995, "input": 994, "kvm": 993, "render": 992, "sgx": 991, **USERS}
FILES = {
    "etc/pam.d/common-account": "account required pam_permit.so\n",
    "etc/pam.d/common-auth": "auth required pam_permit.so\n",
    "etc/pam.d/common-password": "password required pam_permit.so\n",
    "etc/pam.d/common-session": "session required pam_unix.so\nsession optional pam_systemd.so\n",
    "etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
    "etc/subuid": "",
    "etc/subgid": "",
}
LINKS = {
    "usr/bin/awk": "mawk",
    "usr/bin/cc": "gcc",
    "usr/sbin/iptables": "xtables-nft-multi",
    "usr/sbin/ip6tables": "xtables-nft-multi",
    "var/run": "/run",
    "var/lock": "/run/lock",
}
COPIES = {
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
    "etc/profile": "usr/share/base-files/profile",
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/group": "usr/share/base-passwd/group.master",
}
# Of the image, what programs are compiled with.
HEADERS = ("usr/include/python3.*", f"usr/include/{arch.THIS.tuple}/python3.*", "usr/lib/python3.*/_sysconfigdata__*",
           f"usr/lib/{arch.THIS.tuple}/libpython3.*.so*")  # fmt: skip


def set_up(root: str) -> None:
    """Do to a root file system what its packages' scripts would have done."""
    for name, source in COPIES.items():
        shutil.copy(f"{root}/{source}", f"{root}/{name}")
    for name, text in FILES.items():
        _append(f"{root}/{name}", text)
    _append(f"{root}/etc/group", "".join(f"{name}:x:{number}:\n" for name, number in GROUPS.items()))
    users = "".join(f"{name}:x:{number}:{number}::/:/usr/sbin/nologin\n" for name, number in USERS.items())
    _append(f"{root}/etc/passwd", users)
    for name, target in LINKS.items():
        path = f"{root}/{name}"
        if os.path.isdir(path):
            os.rmdir(path)
        os.symlink(target, path)


def keep_headers(root: str, directory: str) -> None:
    """Copy what is needed to compile for a root file system, to ``system`` in the image's directory."""
    for pattern in HEADERS:
        for path in glob.glob(f"{root}/{pattern}"):
            target = f"{directory}/system/{os.path.relpath(path, root)}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.isdir(path):
                shutil.copytree(path, target)
            else:
                shutil.copy(path, target)


def _append(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)
