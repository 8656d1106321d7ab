"""One running guest: QEMU, its console, the links to its agent and to QEMU itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time

from waiting import eventually

from . import arch, guest
from .link import Agent, Control, MachineEnded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QEMU = arch.THIS.qemu
MEMORY = 1024
CPUS = 2
# Capacity of the disk on which files come in; fixed, as a snapshot knows it.
SHARE_SIZE = 256 << 20
BOOT_LIMIT = 240.0

KVM, TCG = "kvm", "tcg"
ACCELERATORS = {
    KVM: ["-accel", "kvm", "-cpu", "host"],
    TCG: ["-accel", "tcg,thread=multi", "-cpu", arch.THIS.processor],
}


def arguments(image: str, accelerator: str) -> list[str]:
    """QEMU's command line but for sockets, the share and the snapshot."""
    return [
        QEMU, "-M", arch.THIS.board, *ACCELERATORS[accelerator], "-smp", str(CPUS), "-m", str(MEMORY),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd", "-append", guest.COMMAND_LINE,
        "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
    ]  # fmt: skip


class Machine:
    """Started by the constructor, ended by `close`.

    image     directory with vmlinuz, initrd, root.img and, to resume, state
    share     a tar archive that the guest sees as /dev/vdb, or ""
    writable  changes go into root.img, else they vanish with the machine
    Raises MachineEnded with the console's last lines.
    """

    def __init__(
        self, image: str, accelerator: str, *, share: str = "", resume: bool = False, writable: bool = False
    ) -> None:
        # For sockets, whose paths have 107 letters at most: more than a temporary directory may have.
        self._dir = tempfile.mkdtemp(prefix="ocirun-vm-", dir="/var/tmp")
        self._image = image
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: list[socket.socket] = []
        try:
            self._start(arguments(image, accelerator), share, resume=resume, writable=writable)
        except BaseException as error:
            tail = self.console()
            self.close()
            if isinstance(error, MachineEnded):
                raise MachineEnded(f"{error}\n{tail}".rstrip()) from error
            raise

    def _start(self, argv: list[str], share: str, *, resume: bool, writable: bool) -> None:
        disk = share or self._empty_share()
        snapshot = "off" if writable else "on"
        argv += [
            "-drive", f"file={self._image}/root.img,format=raw,if=none,id=d0,cache=unsafe,snapshot={snapshot}",
            "-device", "virtio-blk-pci,drive=d0",
            "-drive", f"file={disk},format=raw,if=none,id=d1,read-only=on", "-device", "virtio-blk-pci,drive=d1",
            "-serial", f"file:{self._dir}/console",
            "-chardev", f"socket,id=agent,path={self._dir}/agent",
            "-device", f"virtserialport,chardev=agent,name={guest.PORT}",
            "-qmp", f"unix:{self._dir}/qmp",
        ]  # fmt: skip
        if resume:
            argv += ["-incoming", f"exec:cat {self._image}/state"]
        listeners = [self._listen("agent"), self._listen("qmp")]
        with open(f"{self._dir}/qemu.log", "wb") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        agent, control = (self._accept(listener) for listener in listeners)
        self.control = Control(control)
        self.agent = Agent(agent)
        if resume:
            self._wait_for("inmigrate", self.control.command, 60)
            # It was saved while it stood still.
            self.control.command("cont")
        if self.agent.run(["true"], timeout=BOOT_LIMIT):
            raise MachineEnded("the agent cannot run commands")

    def _empty_share(self) -> str:
        path = f"{self._dir}/share"
        with open(path, "wb") as file:
            file.truncate(SHARE_SIZE)
        return path

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets.append(listener)
        listener.bind(f"{self._dir}/{name}")
        listener.listen(1)
        listener.settimeout(0.2)
        return listener

    def _accept(self, listener: socket.socket) -> socket.socket:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                link, _ = listener.accept()
            except TimeoutError:
                if self._process is not None and self._process.poll() is not None:
                    break
                continue
            self._sockets.append(link)
            return link
        raise MachineEnded("QEMU does not start")

    def _wait_for(self, left: str, command: Any, limit: float) -> None:
        try:
            eventually(lambda: command("query-status")["status"] != left, f"the machine is no longer {left}", limit)
        except AssertionError as error:
            raise MachineEnded(str(error)) from None

    def save(self) -> None:
        """Write the machine's memory into the image's ``state``, and end it."""
        self.control.command("stop")
        self.control.command("migrate", uri=f"exec:cat > {self._image}/state")
        eventually(self._is_written, "the snapshot is written", 600, pause=0.05)
        self.control.command("quit")
        if self._process is not None:
            self._process.wait(60)

    def _is_written(self) -> bool:
        status = self.control.command("query-migrate").get("status")
        if status == "failed":
            raise RuntimeError("QEMU cannot write the snapshot")
        return bool(status == "completed")

    def console(self) -> str:
        """The last lines of the console and of QEMU's own messages."""
        parts = []
        for name in ("qemu.log", "console"):
            try:
                with open(f"{self._dir}/{name}", encoding="utf-8", errors="replace") as file:
                    parts += file.read()[-3000:].splitlines()[-25:]
            except OSError:
                pass
        return "\n".join(parts)

    def close(self) -> None:
        """End QEMU and remove its files."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
        if hasattr(self, "control"):
            self.control.close()
        for one in self._sockets:
            one.close()
        shutil.rmtree(self._dir, ignore_errors=True)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
