"""Network devices that move into the container: names, addresses, state; and where they are after a failure."""

from __future__ import annotations

import contextlib
import re
import subprocess

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case

MAC = "02:00:00:00:77:01"


def ip(*words: str) -> str:
    """The program ip of busybox, in the network namespace of the test."""
    return subprocess.run(["busybox", "ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def device(live: Case) -> Iterator[str]:
    """An end of a veth pair, with a MAC, an MTU and addresses; the other end stays."""
    with pair(live, "ocitest0"):
        ip("link", "set", "ocitest0", "address", MAC)
        ip("link", "set", "ocitest0", "mtu", "1400")
        ip("link", "set", "ocitest0", "up")
        ip("addr", "add", "10.77.1.2/24", "broadcast", "10.77.1.255", "dev", "ocitest0", "label", "ocitest0:a")
        ip("addr", "add", "10.77.1.3/32", "dev", "ocitest0")
        ip("addr", "add", "169.254.7.7/32", "scope", "link", "dev", "ocitest0")
        ip("addr", "add", "fd77::2/64", "dev", "ocitest0")
        yield "ocitest0"


@contextlib.contextmanager
def pair(live: Case, name: str) -> Iterator[None]:
    """A device and its peer, which goes with it; part of the host meanwhile for the case's oracle."""
    before = links()
    ip("link", "add", name, "type", "veth")
    both = links() - before
    live.before["link"] |= both
    try:
        yield
    finally:
        for one in both & links():
            # The kernel may be about to take it away itself.
            subprocess.run(["busybox", "ip", "link", "del", one], check=False, capture_output=True)
        process.eventually(lambda: not both & links(), "the pair is gone", 5)
        live.before["link"] -= both


def links() -> set[str]:
    return set(re.findall(r"^\d+: ([^:@]+)", ip("link"), re.MULTILINE))


def asks(live: Case, script: str = "busybox ip addr") -> Bundle:
    return live.shell(script)


def addresses(text: str) -> list[str]:
    """Addresses with their prefixes, without those that the kernel makes by itself."""
    return [one for one in re.findall(r"inet6? (\S+)", text) if not one.startswith(("127.", "::1", "fe80"))]


def settled(device: str) -> list[str]:
    """Number, name, MAC, MTU and addresses of a device, without what the kernel is still busy with."""
    text = re.sub(r"<.*?>|state \S+|tentative|qdisc \S+", "", ip("addr", "show", "dev", device))
    return sorted(line.strip() for line in text.splitlines() if "fe80" not in line)


def move(bundle: Bundle, **devices: str) -> None:
    bundle.linux["netDevices"] = {host: {"name": name} if name else {} for host, name in devices.items()}


def test_moved_with_all_that_belongs_to_it(live: Case, device: str) -> None:
    bundle = asks(live)
    move(bundle, ocitest0="")
    seen = live.output(bundle)
    assert re.search(r"ocitest0@?\S*: <[^>]*\bUP\b[^>]*> mtu 1400", seen), seen
    assert MAC in seen
    assert addresses(seen) == ["10.77.1.2/24", "10.77.1.3/32", "fd77::2/64"]
    assert "brd 10.77.1.255 scope global ocitest0:a" in seen
    # It goes with the namespace, as the kernel does it with all that is not hardware.
    assert "ocitest0" not in links()


def test_new_name(live: Case, device: str) -> None:
    bundle = asks(live)
    move(bundle, ocitest0="net1")
    seen = live.output(bundle)
    assert "ocitest0" not in seen
    assert "scope global net1:a" in seen
    assert addresses(seen) == ["10.77.1.2/24", "10.77.1.3/32", "fd77::2/64"]


def test_template(live: Case, device: str) -> None:
    bundle = asks(live, "busybox ip addr; ls /sys/class/net")
    bundle.mount("/sys", "sysfs", "ro", kind="sysfs")
    with pair(live, "ocitest1"):
        move(bundle, ocitest0="eth%d", ocitest1="eth%d")
        seen = live.output(bundle)
    assert sorted(seen.split()[-3:]) == ["eth0", "eth1", "lo"]
    assert len(addresses(seen)) == 3


def test_device_that_was_down_comes_up(live: Case, device: str) -> None:
    ip("link", "set", "ocitest0", "down")
    bundle = asks(live)
    move(bundle, ocitest0="x0")
    assert re.search(r"x0@?\S*: <[^>]*\bUP\b", live.output(bundle))


def test_in_a_user_namespace(live: Case, device: str) -> None:
    bundle = asks(live)
    bundle.user_namespace()
    move(bundle, ocitest0="x0")
    assert len(addresses(live.output(bundle))) == 3


def joined(live: Case, *, user: bool = False) -> Bundle:
    first = live.bundle(["/bin/sleep", "600"])
    if user:
        first.user_namespace()
    live.launch(first)
    return first


@pytest.mark.parametrize("user", [False, True])
def test_into_a_namespace_that_outlives_the_container(live: Case, device: str, user: bool) -> None:
    first = joined(live, user=user)
    bundle = asks(live)
    bundle.namespace("network", f"/proc/{live.pid(first)}/ns/net")
    if user:
        # One that does not own the network namespace.
        bundle.user_namespace(first=300000)
    move(bundle, ocitest0="x0")
    live.create(bundle)
    live.start(bundle)
    live.ended(bundle)
    # Never moved back.
    assert "ocitest0" not in links()
    assert (
        "x0"
        in subprocess.run(
            ["nsenter", "-t", str(live.pid(first)), "-n", "busybox", "ip", "link"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )


def test_name_that_is_taken(live: Case, device: str) -> None:
    before = settled(device)
    bundle = asks(live)
    move(bundle, ocitest0="lo")
    live.refused(bundle, "/linux/netDevices/ocitest0", "has a lo already")
    assert settled(device) == before


def test_index_that_is_taken(live: Case, device: str) -> None:
    # The number of the device may be another's in the container.
    first = joined(live)
    wanted = re.match(r"(\d+):", ip("link", "show", device))
    assert wanted
    for number in range(int(wanted[1]) + 2):
        subprocess.run(
            [
                "nsenter",
                "-t",
                str(live.pid(first)),
                "-n",
                "busybox",
                "ip",
                "link",
                "add",
                f"b{number}",
                "type",
                "bridge",
            ],
            check=True,
        )
    bundle = asks(live)
    bundle.namespace("network", f"/proc/{live.pid(first)}/ns/net")
    move(bundle, ocitest0="b%d")
    assert len(addresses(live.output(bundle))) == 3


def test_back_after_a_later_failure(live: Case, device: str) -> None:
    before = settled(device)
    bundle = live.bundle(["/no/such/program"])
    move(bundle, ocitest0="x0")
    live.refused(bundle, "/no/such/program")
    assert settled(device) == before
    assert ",UP" in ip("link", "show", device)


def test_back_after_an_address_that_does_not_fit(live: Case, device: str) -> None:
    before = settled(device)
    first = joined(live)
    other = ["nsenter", "-t", str(live.pid(first)), "-n"]
    bundle = asks(live)
    bundle.namespace("network", f"/proc/{live.pid(first)}/ns/net")
    subprocess.run([*other, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"], check=True)
    move(bundle, ocitest0="x0")
    live.make("create", bundle).failed("/linux/netDevices/ocitest0")
    assert settled(device) == before


def test_no_such_device(live: Case, device: str) -> None:
    bundle = asks(live)
    move(bundle, ocitest0="x0", ocinone="y0")
    live.refused(bundle, "/linux/netDevices/ocinone", "no such device")
    assert len(addresses(ip("addr", "show", "dev", device))) == 4


def test_device_that_the_kernel_keeps(live: Case) -> None:
    bundle = asks(live)
    move(bundle, lo="x0")
    # In the kernel's own words, from the extended acknowledgement.
    live.refused(bundle, "/linux/netDevices/lo", "network device lo", "invalid argument")


def test_namespace_of_the_host(live: Case, device: str) -> None:
    bundle = asks(live)
    bundle.namespace("network", "/proc/self/ns/net")
    move(bundle, ocitest0="x0")
    live.refused(bundle, "/linux/netDevices", "the host's own network namespace")


@pytest.mark.parametrize("name", [".", "..", "a/b", "a b", "x" * 16, "eth%s", "%d%d", "a:b"])
def test_names_that_are_none(live: Case, name: str) -> None:
    bundle = asks(live)
    move(bundle, ocitest0=name)
    live.refused(bundle, "/linux/netDevices/ocitest0/name", verbs=("create",))
