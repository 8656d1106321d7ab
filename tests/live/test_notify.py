"""NOTIFY_SOCKET: readiness goes from the program to the caller's socket, and nothing else does (G04)."""

from __future__ import annotations

import os
import socket

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case

# busybox has no client for datagram sockets; the image gets this one.
CLIENT = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || argc < 2)
        return 3;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (sendto(fd, argv[1], strlen(argv[1]), 0, (struct sockaddr *)&address, sizeof address) < 0)
        return 4;
    for (int i = 2; i < argc; i++)
        sleep((unsigned)atoi(argv[i]));
    return 0;
}
"""


@pytest.fixture
def manager(live: Case) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(f"{live.dir}/manager.sock")
    made.settimeout(5)
    yield made
    made.close()


def client(live: Case, *args: str) -> Bundle:
    """A bundle whose program sends its first argument to NOTIFY_SOCKET."""
    source = f"{live.dir}/client.c"
    with open(source, "w", encoding="ascii") as file:
        file.write(CLIENT)
    bundle = live.bundle(["/notify", *args])
    command = ["gcc", "-static", "-o", f"{bundle.rootfs}/notify", source]
    process.run(command, scratch=live.scratch, env=dict(os.environ)).ok()
    return bundle


def environment(live: Case) -> dict[str, str]:
    return {**process.BARE_ENVIRONMENT, "NOTIFY_SOCKET": f"{live.dir}/manager.sock"}


def test_ready_is_forwarded_in_the_foreground(live: Case, manager: socket.socket) -> None:
    bundle = client(live, "READY=1\nSTATUS=up", "1")
    result = live.run(bundle, env=environment(live))
    assert result.code == 0, result.report()
    lines = manager.recv(4096).decode().splitlines()
    assert "READY=1" in lines


def test_variable_names_a_path_of_the_container(live: Case, manager: socket.socket) -> None:
    seen = live.probe(live.bundle(), env=environment(live))
    values = [one for one in seen["env"] if one.startswith("NOTIFY_SOCKET=")]
    assert values != [f"NOTIFY_SOCKET={live.dir}/manager.sock"], "the host's path means nothing inside"
    assert live.dir not in "".join(values)


def test_create_and_start_leave_nothing_behind(live: Case, manager: socket.socket) -> None:
    bundle = client(live, "READY=1", "600")
    live.create(bundle, env=environment(live))
    live.start(bundle, env=environment(live))
    assert "READY=1" in manager.recv(4096).decode()
    live.delete(bundle, "--force")
    live.assert_clean()


def test_socket_that_is_not_there(live: Case) -> None:
    bundle = live.shell("echo fine")
    result = live.run(bundle, env={**process.BARE_ENVIRONMENT, "NOTIFY_SOCKET": f"{live.dir}/nosuch"})
    if result.code:
        result.failed("NOTIFY_SOCKET")
    else:
        assert result.out == "fine\n"


def test_without_the_variable_nothing_is_mounted(live: Case) -> None:
    seen = live.probe(live.bundle())
    assert "notify" not in seen["mountinfo"]
    assert not [one for one in seen["env"] if one.startswith("NOTIFY_SOCKET")]
