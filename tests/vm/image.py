"""Builds the guest: a Debian root file system, its kernel and a ram disk, all from Debian's packages."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

from . import agent, arch, foreign, guest, initrd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Sparse; tests that write much have room.
ROOT_SIZE = "2G"
PROGRAMS = {"mmdebstrap": "mmdebstrap", "dpkg-deb": "dpkg", "mke2fs": "e2fsprogs"}

# Downloads the packages of the kernel, of the guest's own suite or another one; Debian has it in one or in three.
FETCH = """
cd {directory} && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" &&
if [ -n "{suite}" ]; then
    mkdir -p lists/partial && echo "deb http://deb.debian.org/debian {suite} main" > sources.list &&
    set -- -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$PWD/lists" &&
    apt-get "$@" -q update
else
    set --
fi &&
apt-get "$@" -q download $(apt-cache "$@" depends --recurse --important {kernel} |
    sed -n 's/^\\(linux-\\(image\\|base\\|binary\\|modules\\)-[0-9].*\\)/\\1/p')
"""


class BuildError(Exception):
    """The image cannot be made; the text says why."""


def build(directory: str) -> None:
    """Make ``vmlinuz``, ``initrd`` and ``root.img`` in a directory.

    Needs root and Debian's archive.  Raises BuildError.
    """
    if os.geteuid() != 0:
        raise BuildError("the image can only be built by root")
    root, packages = f"{directory}/root", f"{directory}/packages"
    os.mkdir(packages)
    try:
        _bootstrap(root, packages)
        unpacked = _unpack_kernel(packages, f"{directory}/kernel", f"{directory}/vmlinuz")
        kernel = os.path.basename(unpacked)
        modules = f"{root}/usr/lib/modules/{kernel}"
        _copy_modules(unpacked, modules)
        _call(["depmod", "-b", root, kernel] if arch.FOREIGN else ["chroot", root, "depmod", kernel])
        initrd.write(f"{directory}/initrd", f"{root}/bin/busybox", modules)
        if arch.FOREIGN:
            foreign.set_up(root)
            foreign.keep_headers(root, directory)
        _configure(root)
        _call(
            [
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-O",
                "^has_journal",
                "-m",
                "0",
                "-d",
                root,
                f"{directory}/root.img",
                ROOT_SIZE,
            ]
        )
    finally:
        for place in (root, packages, f"{directory}/kernel"):
            shutil.rmtree(place, ignore_errors=True)


def _bootstrap(root: str, packages: str) -> None:
    # The kernel is only unpacked: installing it would bring the tools that make ram disks.
    fetch = f"--{'extract' if arch.FOREIGN else 'customize'}-hook={FETCH}".format(
        directory=packages, suite=guest.KERNEL, kernel=arch.THIS.kernel
    )
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")]
    options += ["--dpkgopt=force-unsafe-io", '--aptopt=APT::Install-Recommends "false"']
    # A machine's clock may be ahead of the archive's signature.
    options += ['--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Check-Valid-Until "false"']
    packages = guest.PACKAGES
    if arch.FOREIGN:
        packages += foreign.PACKAGES
        options += foreign.OPTIONS
    else:
        options += ["--variant=apt"]
    include = f"--include={','.join(packages)}"
    _call(["mmdebstrap", "--mode=root", "--components=main", include, fetch, *options, guest.SUITE, root])


def _unpack_kernel(packages: str, target: str, vmlinuz: str) -> str:
    """Unpack the kernel's packages, and copy the kernel; returns the directory of its modules."""
    for path in glob.glob(f"{packages}/*.deb"):
        _call(["dpkg-deb", "-x", path, target])
    # Debian's kernels are in /boot, and from 7.1 on with their modules.
    (kernel,) = glob.glob(f"{target}/boot/vmlinuz-*") + glob.glob(f"{target}/usr/lib/modules/*/vmlinuz")
    shutil.copy(kernel, vmlinuz)
    (modules,) = glob.glob(f"{target}/lib/modules/*") + glob.glob(f"{target}/usr/lib/modules/*")
    return modules


def _copy_modules(source: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(f"{source}/{name}", target)
    for name in guest.MODULES:
        place = f"kernel/{name}"
        if os.path.isdir(f"{source}/{place}"):
            shutil.copytree(f"{source}/{place}", f"{target}/{place}", dirs_exist_ok=True)
        for suffix in (".ko", ".ko.xz"):
            if os.path.exists(f"{source}/{place}{suffix}"):
                os.makedirs(os.path.dirname(f"{target}/{place}"), exist_ok=True)
                shutil.copy(f"{source}/{place}{suffix}", os.path.dirname(f"{target}/{place}"))


def _configure(root: str) -> None:
    # Not in the new root, whose programs may be another machine's.
    _call(["useradd", "--prefix", root, "-m", "-s", "/bin/bash", "-u", str(guest.UID), guest.USER])
    for name, text in guest.FILES.items():
        _write(f"{root}/{name}", text)
    for name, target in guest.LINKS.items():
        path = f"{root}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)
    with open(agent.__file__, encoding="utf-8") as file:
        _write(f"{root}{guest.AGENT}", file.read())
    if guest.SELINUX:
        _call(["unshare", "-m", "--propagation", "private", "sh", "-ec", guest.LABEL, "sh", root])


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _call(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout[-4000:])
        raise BuildError(f"{argv[0]} ended with status {done.returncode}")
