"""A newcomer's day with Docker, from the first image to Compose, on one daemon and at a real terminal."""

from __future__ import annotations

import json

import pytest
from live.screen import Screen

from .daemon import IMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .daemon import Docker

REGISTRY = "127.0.0.1:5000"
PAGE = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
COMPOSE = """version: "3"
services:
  web:
    image: bb
    command: ["sh", "-c", "{page}"]
    ports: ["127.0.0.1:8090:80"]
    volumes: ["data:/data"]
    healthcheck: {{test: ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1/"], interval: 1s}}
  client:
    image: bb
    command: ["sh", "-c", "until wget -q -O /data/page http://web/; do sleep 0.2; done; exec sleep 1000"]
    volumes: ["data:/data"]
    depends_on: [web]
    mem_limit: 64m
volumes: {{data: {{}}}}
"""


@pytest.fixture
def registry(docker: Docker) -> Iterator[str]:
    """A registry of images on the loopback interface of the machine."""
    machine = docker.machine
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": f"{machine.store}/registry"}},
        "http": {"addr": REGISTRY},
    }
    path = machine.write(f"{machine.store}/registry.json", json.dumps(settings))
    with open(f"{machine.store}/registry.log", "ab") as log:
        server = machine.spawn("docker-registry", "serve", path, stdout=log, stderr=log)
    docker.until(lambda: machine.fetch(f"http://{REGISTRY}/v2/") == "{}", "the registry answers")
    yield REGISTRY
    (pid,) = [pid for pid, args in machine.processes().items() if args.startswith("docker-registry")]
    machine.run("kill", str(pid)).ok()
    server.wait(20)


def test_images(docker: Docker, registry: str, busybox: str) -> None:
    """Import, tag, save, load, export, push and pull."""
    store = docker.machine.store
    with open(busybox, "rb") as file:
        docker("import", "--change", 'CMD ["echo","mine"]', "-", "mine:1", stdin=file.read())
    docker("run", "--rm", "mine:1").says("mine")
    docker("tag", "mine:1", f"{registry}/mine:2")
    docker("push", f"{registry}/mine:2")
    docker("save", "-o", f"{store}/mine.tar", "mine:1")
    docker("rmi", "mine:1", f"{registry}/mine:2")
    assert "mine" not in docker("images").out
    docker("load", "-i", f"{store}/mine.tar")
    docker("run", "--rm", "mine:1").says("mine")
    docker("rmi", "mine:1")
    docker("run", "--rm", f"{registry}/mine:2").says("mine")  # pulls
    docker("run", "--name=c1", f"{registry}/mine:2", "sh", "-c", "echo changed > /file")
    assert "A /file" in docker("diff", "c1").out
    docker("export", "-o", f"{store}/flat.tar", "c1")
    docker("import", f"{store}/flat.tar", "flat")
    docker("run", "--rm", "flat", "cat", "/file").says("changed")
    docker("rm", "c1")
    docker("rmi", "flat", f"{registry}/mine:2")


def test_at_the_terminal(docker: Docker) -> None:
    """A shell in a container, typed into tmux; `exit` ends the container, and `ps -a` tells so."""
    machine = docker.machine
    screen = Screen(f"{machine.store}/tmux", machine.words([]))
    try:
        screen.expect("host>", 20)
        screen.type("clear; docker run -ti --name=c1 -h inside bb sh")
        screen.expect("/ #", 20)
        screen.type("echo $((6*7)) on $(hostname) at $(tty)")
        screen.expect("42 on inside at /dev/pts/0")
        screen.type("sleep 100")
        screen.key("C-c")
        screen.type("echo after $?")
        screen.expect("after 130")
        screen.type("exit")
        screen.expect("host>")
        screen.type("clear; docker ps -a --format '{{.Names}} {{.Status}}'")
        screen.expect("c1 Exited (0)")
        screen.type(
            "clear; docker run -d --name=c2 bb sh -c 'while date; do sleep 0.2; done' >/dev/null; docker logs c2 | head -n 1"
        )
        screen.expect("UTC", 20)
        screen.type("clear; docker exec -ti c2 sh")
        screen.expect("/ #", 20)
        screen.type("ps -o pid,args | head -n 2; exit 3")
        screen.expect("1 sh -c while date")
        screen.type("echo status $?")
        screen.expect("status 3")
        screen.type("clear; docker attach c2")
        screen.expect("UTC", 20)
        screen.key("C-c")
        screen.type("docker ps -q | wc -l")
        screen.type("clear; docker rm -f c1 c2")
        screen.expect("c2", 20)
    finally:
        screen("kill-server")


def test_exit_status_of_a_shell(docker: Docker) -> None:
    docker.keep("--name=c1", "-i", "--", "sh", stdin=b"echo hi\nexit\n").says("hi")
    docker("ps", "-a", "--filter=name=c1", "--format={{.Status}}").ends(0, "Exited (0)")


def test_networks_and_volumes(docker: Docker) -> None:
    """A page from a container by a published port, by name in a network of one's own, and a volume for two."""
    machine = docker.machine
    docker("network", "create", "net1")
    docker("volume", "create", "vol1")
    docker.keep(
        "-d", "--name=web", "--network=net1", "-p", "127.0.0.1:8080:80", "-v", "vol1:/www", "--", "sh", "-c", PAGE
    ).ok()
    docker.until(lambda: machine.fetch("http://127.0.0.1:8080/") == "hello\n", "the page is served")
    docker.run("--network=net1", "--", "wget", "-q", "-O", "-", "http://web/").says("hello")
    docker.run("-v", "vol1:/seen:ro", "--", "cat", "/seen/index.html").says("hello")
    docker.run("--volumes-from=web", "--", "cat", "/www/index.html").says("hello")
    # Another container in its network, and in its processes.
    docker.run("--network=container:web", "--", "wget", "-q", "-O", "-", "http://127.0.0.1/").says("hello")
    assert "httpd" in docker.run("--pid=container:web", "--", "ps").out
    assert docker("port", "web").out.strip().endswith("127.0.0.1:8080")
    docker("rm", "-f", "web")
    docker("network", "rm", "net1")
    docker("volume", "rm", "vol1")
    docker.run("--network=host", "--", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/").ends(1, "refused")


def test_restart_always(docker: Docker) -> None:
    """A container with a restart policy comes back when it ends, and after a restart of the daemon."""
    docker.keep("-d", "--name=c1", "--restart=always", "--", "sh", "-c", "sleep 1; exit 1").ok()
    docker.until(lambda: int(docker.inspect("c1", ".RestartCount")) >= 2, "it is started again")
    docker("rm", "-f", "c1")
    docker.keep("-d", "--name=c2", "--restart=unless-stopped", "--", "sleep", "1000").ok()
    docker.stop()
    docker.configure(**{"live-restore": False})
    docker.start()
    docker.until(lambda: docker.inspect("c2", ".State.Running") == "true", "it runs again")
    docker("exec", "c2", "true")


def test_compose(docker: Docker) -> None:
    """Two services, one of which finds the other by its name."""
    machine = docker.machine
    path = machine.write(f"{machine.store}/project/docker-compose.yml", COMPOSE.format(page=PAGE))

    def compose(*words: str) -> str:
        return machine.run("docker-compose", "-f", path, *words, limit=120).ok().out

    def name(service: str) -> str:
        """Version 1 divides the parts of a name by "_", version 2 by "-"."""
        return docker("ps", f"--filter=label=com.docker.compose.service={service}", "--format={{.Names}}").out.strip()

    compose("up", "-d")
    docker.until(lambda: machine.fetch("http://127.0.0.1:8090/") == "hello\n", "the page is served")
    docker.until(lambda: "hello" in docker("exec", name("client"), "cat", "/data/page", check=False).out, "the client")
    docker.until(lambda: docker.inspect(name("web"), ".State.Health.Status") == "healthy", "the check succeeds")
    assert name("web") in compose("ps")
    limit = docker("exec", name("client"), "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert limit.words == [str(64 << 20)]
    assert compose("exec", "-T", "client", "hostname").strip() in docker("ps", "-q").out
    compose("up", "-d", "--scale", "client=3")
    assert len(docker("ps", "-q", "--filter=label=com.docker.compose.service=client").words) == 3
    compose("restart", "-t", "0", "client")
    compose("down", "-v", "-t", "0")
    assert docker("ps", "-aq").words == []


def test_debian(docker: Docker, debian: str) -> None:
    """A whole distribution, in which dpkg and a shell with job control work."""
    docker("import", debian, "debian", limit=120)
    run = ["run", "--rm", "debian"]
    docker(*run, "sh", "-c", ". /etc/os-release; echo $ID").says("debian")
    assert "bash" in docker(*run, "dpkg-query", "-W").out
    docker(*run, "bash", "-c", "id -un; ls /proc/self/fd >/dev/null; echo $((6*7))").says("root\n42")
    docker("run", "--rm", "--user=nobody", "--read-only", "--tmpfs=/tmp", "debian", "perl", "-e", "print 6*7").says(
        "42"
    )
    docker.machine.write(
        f"{docker.machine.store}/context/Dockerfile",
        "FROM debian\nRUN useradd -m ada && su ada -c 'echo ~ > ~/home'\nCMD cat /home/ada/home\n",
    )
    docker("build", "-t", "built", f"{docker.machine.store}/context")
    docker("run", "--rm", "built").says("/home/ada")
    docker("rmi", "built", "debian")


def test_images_that_are_left(docker: Docker) -> None:
    """The day leaves the machine as it was."""
    assert docker("images", "-q", IMAGE).words
    assert docker("volume", "ls", "-q").words == []
