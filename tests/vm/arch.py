"""The guest's processor, and what depends on it.

``OCIRUN_VM_ARCH=arm64`` chooses a guest for another machine than this one.  It is always emulated; `foreign` sets
up its image, of which nothing can be run here, and `cross` compiles the checkout for it.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Architecture(NamedTuple):
    """One kind of machine.

    debian    Debian's name, machine that of uname(2), tuple that of the compiler and of library directories
    qemu      the program, package where it is from, board, processor: arguments of it
    kernel    Debian's package
    console   of the kernel
    """

    debian: str
    machine: str
    tuple: str
    qemu: str
    package: str
    board: str
    processor: str
    kernel: str
    console: str


ALL = {
    "amd64": Architecture(
        "amd64", "x86_64", "x86_64-linux-gnu", "qemu-system-x86_64", "qemu-system-x86", "q35", "max",
        "linux-image-cloud-amd64", "ttyS0",
    ),
    # QEMU's own algorithm for pointer authentication is much faster than the architecture's.
    "arm64": Architecture(
        "arm64", "aarch64", "aarch64-linux-gnu", "qemu-system-aarch64", "qemu-system-arm", "virt", "max,pauth-impdef=on",
        "linux-image-cloud-arm64", "ttyAMA0",
    ),
}  # fmt: skip
HOST = "x86_64"

THIS = ALL[os.environ.get("OCIRUN_VM_ARCH") or "amd64"]
FOREIGN = THIS.machine != HOST
