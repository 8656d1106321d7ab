"""The image's place outside of the checkout: found by what is in it, made when it is missing.

One directory for each key below ``$OCIRUN_VM_CACHE`` (default
``~/.cache/ocirun-vm``).  The key is a hash of everything that the image and its
snapshot depend on, but not of package versions: remove the directory to have
new ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys

from . import agent, arch, cross, foreign, guest, image, machine, share
from .link import MachineEnded

# What a test machine must have installed: program -> Debian's package.
PROGRAMS = {
    machine.QEMU: arch.THIS.package,
    **image.PROGRAMS,
    **(foreign.PROGRAMS | cross.PROGRAMS if arch.FOREIGN else {}),
}

_FLAGS = {"vmx", "svm"}


def missing() -> str:
    """Why no guest can be started here, in one line; "" where one can."""
    if platform.machine() != arch.HOST:
        return f"the guest is made on {arch.HOST}, and this machine is {platform.machine()}"
    if arch.FOREIGN and guest.SELINUX:
        return "the guest with SELinux is for this machine's processor only"
    if not guest.SUITE:
        known = ", ".join(f"{major}.{minor}" for major, minor in guest.SUITES)
        return f"the guest loads modules compiled for Python {known}, and this is {platform.python_version()}"
    # depmod and its like are not in everybody's PATH.
    places = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = sorted({package for name, package in PROGRAMS.items() if not shutil.which(name, path=places)})
    if packages:
        return f"missing for the guest: install {' '.join(packages)}"
    return ""


def accelerator() -> str:
    """KVM where the processor can do it, else QEMU's own emulation, which is ten to twenty times slower.

    A /dev/kvm alone is not enough: one without vmx or svm interprets much of
    the guest's code, slower than QEMU, and stops at instructions that it lacks.
    """
    if arch.FOREIGN:
        return machine.TCG
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        say(f"no KVM ({error.strerror}): the guest is emulated, which is slow")
        return machine.TCG
    if not _FLAGS & set(_processor().split()):
        say("KVM without vmx or svm is of no use: the guest is emulated, which is slow")
        return machine.TCG
    return machine.KVM


def say(text: str) -> None:
    """A line for who waits."""
    print(f"vm: {text}", file=sys.stderr, flush=True)


def directory() -> str:
    """Where images are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("OCIRUN_VM_CACHE") or f"{base}/ocirun-vm"


def key(accel: str) -> str:
    """Names the image by its content."""
    version = subprocess.run([machine.QEMU, "--version"], stdout=subprocess.PIPE, check=True).stdout
    parts = [
        version.decode(),
        repr(machine.arguments("", accel)),
        str(machine.SHARE_SIZE),
        _processor() if accel == machine.KVM else "",
    ]
    for module in (guest, image, agent, arch, *((foreign,) if arch.FOREIGN else ())):
        with open(module.__file__, encoding="utf-8") as file:
            parts.append(file.read())
    names = [guest.SUITE, guest.VARIANT, guest.KERNEL, arch.THIS.debian]
    return hashlib.sha256("\0".join(names + parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """What the host's kernel says of the first processor; with KVM a snapshot holds the state of this very kind."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        lines = file.read().split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model", "stepping", "flags")))


def ready(accel: str) -> str:
    """The directory of the image, built first if need be.

    Raises image.BuildError, MachineEnded.
    """
    top = directory()
    os.makedirs(top, exist_ok=True)
    name = key(accel)
    path = f"{top}/{name}"
    with open(f"{top}/{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{path}/ok"):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path, 0o755)
            say(f"building the guest ({guest.SUITE}, {arch.THIS.debian}) in {path}, about a minute")
            image.build(path)
            snapshot(path, accel)
            with open(f"{path}/ok", "wb"):
                pass
    return path


def snapshot(path: str, accel: str) -> None:
    """Boot once, and save the running machine next to its root file system."""
    say(f"first boot ({accel})")
    with machine.Machine(path, accel, writable=True) as booted:
        output: list[bytes] = []
        status = booted.agent.run(["sh", "-c", guest.WARM_UP], out=output.append, err=output.append)
        if status:
            text = b"".join(output).decode(errors="replace")
            raise MachineEnded(f"the guest does not come up ({status}): {text}\n{booted.console()}")
        booted.save()


def carried() -> dict[str, str]:
    """What the guest has in other places than this checkout, made here if need be: path there -> path here.

    Raises image.BuildError, MachineEnded, CalledProcessError.
    """
    return cross.compile_checkout(share.CHECKOUT, ready(accelerator())) if arch.FOREIGN else {}


def start(accel: str, share: str = "", *, cold: bool = False) -> machine.Machine:
    """A machine of the image, resumed from its snapshot or, said aloud, booted."""
    path = ready(accel)
    if not cold:
        try:
            return machine.Machine(path, accel, share=share, resume=True)
        except (MachineEnded, RuntimeError) as error:
            say(f"cannot resume the snapshot, so the guest boots: {error}")
    return machine.Machine(path, accel, share=share)
