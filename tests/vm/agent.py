"""Runs in the guest: does what comes over a virtio-serial port, one request after the other.

A request is a length in 4 bytes, then JSON:
    {"argv": [...], "cwd": TEXT, "env": {...}, "timeout": SECONDS, "time": HOST TIME}
The answer is a row of frames: a letter, a length in 4 bytes, that many bytes.
    o   standard output      e   standard error      x   the end: the exit status in decimal
A command that takes too long is killed with all of its process group; its
status is 124.  One that cannot be started has 125, and says why on `e`.
Stand-alone, and for the standard library only: the image holds a copy.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import time

TIMED_OUT, NOT_STARTED = 124, 125
_CHUNK = 1 << 16


def open_port(name):
    """The port's device, by its name: there is no udev that would make links."""
    while True:
        for place in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(place, encoding="ascii") as file:
                if file.read().strip() == name:
                    return os.open("/dev/" + place.split("/")[-2], os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.05)


def read_exactly(port, size):
    data = b""
    while len(data) < size:
        part = os.read(port, min(size - len(data), _CHUNK))
        if not part:
            # The outer side is closed; it comes back with the next machine that is resumed from here.
            data = b""
            time.sleep(0.02)
        data += part
    return data


def send(port, letter, data):
    frame = letter + struct.pack(">I", len(data)) + data
    while frame:
        frame = frame[os.write(port, frame) :]


def pump(port, process, deadline):
    """Pass output on until both pipes are closed or the process has ended; False when time is over."""
    with selectors.DefaultSelector() as selector:
        for stream, letter in ((process.stdout, b"o"), (process.stderr, b"e")):
            fcntl.fcntl(stream, fcntl.F_SETFL, fcntl.fcntl(stream, fcntl.F_GETFL) | os.O_NONBLOCK)
            selector.register(stream, selectors.EVENT_READ, letter)
        while selector.get_map():
            ended = process.poll() is not None
            ready = selector.select(0 if ended else 0.05)
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                if data:
                    send(port, key.data, data)
                else:
                    selector.unregister(key.fileobj)
            # What the command left behind may hold the pipes open for ever.
            if ended and not ready:
                break
            if time.monotonic() > deadline:
                return False
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def run(port, request):
    """Carry out one command; returns its exit status, as a shell counts."""
    deadline = time.monotonic() + request["timeout"]
    try:
        process = subprocess.Popen(
            request["argv"],
            cwd=request["cwd"],
            env={**os.environ, **request["env"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        send(port, b"e", f"cannot start {request['argv'][0]}: {error}\n".encode())
        return NOT_STARTED
    if not pump(port, process, deadline):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        send(port, b"e", b"time is over\n")
        return TIMED_OUT
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main():
    port = open_port(sys.argv[1])
    while True:
        (size,) = struct.unpack(">I", read_exactly(port, 4))
        request = json.loads(read_exactly(port, size))
        # A resumed guest lives in the time of its snapshot.
        time.clock_settime(time.CLOCK_REALTIME, request["time"])
        send(port, b"x", str(run(port, request)).encode())


if __name__ == "__main__":
    main()
