"""`ocirun.run` inside a large, threaded process: outcomes, limits, and nothing of the process changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

import ocirun

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conftest import Runner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_output_status_and_usage(run: Runner) -> None:
    outcome = run(*shell("cat; echo err >&2; exit 3"), stdin=b"hi\n")
    assert (outcome.exit_code, outcome.signal, outcome.ok) == (3, None, False)
    assert (outcome.stdout, outcome.stderr) == (b"hi\n", b"err\n")
    assert outcome.memory_peak and 0 < outcome.memory_peak < 64 << 20
    assert outcome.cpu_seconds is not None and 0 < outcome.cpu_seconds < 5


def test_the_first_process_is_not_ended_from_inside(run: Runner) -> None:
    outcome = run(*shell("kill -9 -1; echo still here"))
    assert (outcome.exit_code, outcome.stdout) == (0, b"still here\n")


def test_time_limit(run: Runner) -> None:
    begin = time.monotonic()
    outcome = run(*shell("sleep 60 & sleep 60"), timeout=0.3)
    assert (outcome.timed_out, outcome.limit, outcome.signal) == (True, "time", 9)
    assert time.monotonic() - begin < 5


def test_memory_limit(run: Runner) -> None:
    outcome = run(*shell("x=a; while :; do x=$x$x; done"), memory=16 << 20)
    assert (outcome.oom_killed, outcome.limit, outcome.signal) == (True, "memory", 9)
    assert outcome.memory_peak is not None and outcome.memory_peak <= 16 << 20


def test_pids_limit(run: Runner) -> None:
    outcome = run(*shell("i=0; while [ $i -lt 8 ]; do sleep 1 & i=$((i+1)); done; echo all"), pids=4)
    assert b"all" not in outcome.stdout
    assert not outcome.ok


def test_output_is_cut_and_says_so(run: Runner) -> None:
    outcome = run(*shell("head -c 5000000 /dev/zero; echo end >&2"), output_limit=1000)
    assert (len(outcome.stdout), outcome.stdout_cut) == (1000, True)
    assert (outcome.stderr, outcome.stderr_cut) == (b"end\n", False)
    assert outcome.ok


def test_environment_directory_and_mounts(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from outside")
    mount = {"destination": "/mnt", "source": str(tmp_path / "data"), "options": ["rbind", "ro"]}
    outcome = run(*shell("echo $WORD; pwd; cat file"), env={"WORD": "x"}, cwd="/mnt", mounts=[mount])
    assert outcome.stdout == b"x\n/mnt\nfrom outside"


def test_missing_program(run: Runner) -> None:
    with pytest.raises(ocirun.ProgramError) as caught:
        run("/no/such")
    assert (caught.value.pointer, caught.value.errno) == ("/process/args/0", 2)


def test_wrong_type_is_refused_with_its_address(run: Runner) -> None:
    with pytest.raises(ocirun.ConfigError) as caught:
        run("/bin/true", mounts=[{"destination": 5}])
    assert caught.value.pointer.endswith("/destination")


def test_sockets_of_the_service_manager_are_not_passed_on(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """LISTEN_FDS and NOTIFY_SOCKET are meant for the calling service, not for every program that it runs."""
    monkeypatch.setenv("LISTEN_FDS", "100")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/no/such/socket")
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    try:
        outcome = run(*shell("ls /proc/self/fd | wc -l; echo ${LISTEN_FDS-no} ${NOTIFY_SOCKET-no}"))
    finally:
        os.close(reader)
        os.close(writer)
    assert outcome.stdout == b"4\nno no\n"  # 0, 1, 2 and the one that ls reads the directory by


def test_fork_of_the_caller_does_not_touch_its_containers(bundle: str, tmp_path: Path) -> None:
    """P26: a pre-fork server; the child's garbage collection must not end the parent's container."""
    root = str(tmp_path / "root")
    container = ocirun.Container.create(
        "kept", root=root, options=ocirun.CreateOptions(bundle=bundle, stdio=(-1, -1, -1))
    )
    child = os.fork()
    if child == 0:
        del container
        os._exit(0)
    os.waitpid(child, 0)
    assert container.status() == "created"
    container.delete()


def test_what_is_kept_of_a_config_is_as_new_as_the_config(bundle: str, root: str) -> None:
    """The same bundle again and again, with another config, another environment, other rights of this process."""
    path = Path(bundle, "config.json")
    old = path.read_text(encoding="utf-8")
    document = json.loads(old)
    document["process"]["args"] = ["/bin/sh", "-c", "echo $A"]
    try:
        for turn in range(8):
            document["process"]["env"] = [f"A={turn // 4}"]
            path.write_text(json.dumps(document), encoding="utf-8")
            outcome = ocirun.run(bundle, root=root)
            assert outcome.stdout == f"{turn // 4}\n".encode(), turn
            assert ocirun.run(bundle, root=root, args=["/bin/echo", str(turn)]).stdout == f"{turn}\n".encode()
        name = f"kept-{os.getpid()}"
        assert ocirun.run(bundle, root=root, args=["/bin/true"], container_id=name).ok
        ended = [ocirun.run(bundle, root=root, args=shell("exit 3"), memory=limit) for limit in (1 << 25, 1 << 26)]
        assert [outcome.exit_code for outcome in ended] == [3, 3]
    finally:
        path.write_text(old, encoding="utf-8")
    assert os.listdir(root) == []
