"""exec: exit status, the states it works in, its errors, and the flags that change the process."""

from __future__ import annotations

import json
import os
import signal

from . import execs, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_exit_status(live: Case) -> None:
    bundle = execs.idle(live)
    for code in (0, 1, 5, 127, 255):
        assert execs.run(live, bundle, "/bin/sh", "-c", f"exit {code}").code == code
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        assert execs.run(live, bundle, "/bin/sh", "-c", f"kill -{number:d} $$").code == 128 + number


def test_streams_are_the_callers(live: Case) -> None:
    bundle = execs.idle(live)
    reader, writer = os.pipe()
    os.write(writer, b"from the caller")
    os.close(writer)
    result = execs.run(live, bundle, "/bin/sh", "-c", "cat; echo to stderr >&2", stdin=reader).ok()
    os.close(reader)
    assert (result.out, result.err) == ("from the caller", "to stderr\n")


def test_options_end_with_the_id(live: Case) -> None:
    bundle = execs.idle(live)
    assert execs.run(live, bundle, "/bin/echo", "-t", "--cwd", "-e").ok().out == "-t --cwd -e\n"


def test_unknown(live: Case) -> None:
    result = live.command("exec", "nosuch", "true")
    result.failed("exec failed: container does not exist")
    assert result.code == 255


def test_created(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    live.create(bundle)
    assert execs.run(live, bundle, "/bin/echo", "hello").ok().out == "hello\n"
    assert live.status(bundle) == "created"
    live.start(bundle)
    assert live.status(bundle) == "running"
    assert execs.run(live, bundle, "/bin/echo", "again").ok().out == "again\n"


def test_stopped(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    live.launch(bundle)
    live.until(bundle, "stopped")
    result = execs.run(live, bundle, "true")
    result.failed("cannot exec in a stopped container")
    assert result.code == 255


def test_paused(live: Case) -> None:
    bundle = execs.idle(live)
    live.command("pause", bundle.id).ok()
    result = execs.run(live, bundle, "/bin/true", limit=5)
    result.failed("cannot exec in a paused container")
    assert result.code == 255
    assert live.status(bundle) == "paused"
    argv = live.argv("exec", "--ignore-paused", bundle.id, "/bin/echo", "thawed")
    proc, out, _ = process.spawn(argv, scratch=live.scratch)
    assert not execs.ends_within(proc, 0.7), "it has to wait for resume"
    assert execs.read(out) == ""
    live.command("resume", bundle.id).ok()
    assert process.wait_end(proc, 5)
    assert (proc.returncode, execs.read(out)) == (0, "thawed\n")


def test_waiting_for_resume_can_be_given_up(live: Case) -> None:
    bundle = execs.idle(live)
    live.command("pause", bundle.id).ok()
    for number in (signal.SIGINT, signal.SIGTERM):
        argv = live.argv("exec", "--ignore-paused", bundle.id, "/bin/touch", "/ran")
        proc, _, err = process.spawn(argv, scratch=live.scratch)
        assert not execs.ends_within(proc, 0.4)
        proc.send_signal(number)
        assert process.wait_end(proc, 12), "a signal ends it"
        assert proc.returncode == 255, execs.read(err)
        assert f"given up by signal {number:d}" in execs.read(err)
    live.command("resume", bundle.id).ok()
    assert execs.run(live, bundle, "/bin/test", "-e", "/ran").code == 1
    process.eventually(lambda: len(live.command("ps", "--format", "json", bundle.id).json()) == 1, "nothing stays")


def test_not_found_and_not_executable(live: Case) -> None:
    bundle = execs.idle(live)
    bundle.file("plain", "data\n")
    bundle.file("bad-interpreter", "#!/nosuch/interpreter\n", 0o755)
    os.mkdir(f"{bundle.rootfs}/directory")
    for words, texts in (
        (["nosuch"], ["exec failed: ", "executable file not found in $PATH"]),
        (["/nosuch"], ["/nosuch", "no such file or directory"]),
        (["/plain"], ["/plain", "permission denied"]),
        (["/directory"], ["/directory", "is a directory: permission denied"]),
        (["/bad-interpreter"], ["exec /bad-interpreter: no such file or directory"]),
        ([""], ["/process/args/0: names no program"]),
    ):
        result = execs.run(live, bundle, *words)
        result.failed(*texts)
        assert result.code == 255
    result = execs.with_options(live, bundle, ["--cwd", "/nosuch"], "/bin/true")
    result.failed("chdir to cwd", "/nosuch", "no such file or directory")
    assert result.err.count("chdir") == 1 and result.code == 255
    execs.no_helper(live)


def test_error_in_the_log(live: Case) -> None:
    bundle = execs.idle(live)
    log = f"{live.dir}/log.json"
    result = live.command("--log", log, "--log-format", "json", "exec", "--detach", bundle.id, "nosuch")
    assert result.code == 255
    record = json.loads(execs.read(log))
    assert record["level"] == "error"
    assert record["msg"] == result.err.strip()
    assert 'exec: "nosuch": executable file not found in $PATH' in record["msg"]


def test_no_command(live: Case) -> None:
    bundle = execs.idle(live)
    assert live.command("exec", bundle.id).code == 255
    assert live.command("exec").code == 255


def test_environment(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process["env"] += ["A=config", "B=config"]
    live.launch(bundle)
    words = ["--env", "A=flag", "-e", "C=x=y", "--env=D=two\nlines"]
    seen = execs.probe(live, bundle, *words)["env"]
    assert set(seen) == {"PATH=/bin", "TERM=xterm", "A=flag", "B=config", "C=x=y", "D=two\nlines", "HOME=/root"}
    assert len(seen) == 7
    for wrong in ("novalue", "=x"):
        execs.with_options(live, bundle, ["-e", wrong], "/bin/true").failed()


def test_a_thousand_variables(live: Case) -> None:
    bundle = execs.idle(live)
    words = [word for number in range(1000) for word in ("-e", f"NAME{number}={'v' * 200}{number}")]
    seen = execs.probe(live, bundle, *words)["env"]
    assert f"NAME999={'v' * 200}999" in seen
    assert len(seen) == 1003


def test_path_of_the_process(live: Case) -> None:
    bundle = execs.idle(live)
    bundle.file("opt/tool", "#!/bin/sh\necho the tool\n", 0o755)
    assert execs.with_options(live, bundle, ["-e", "PATH=/opt:/bin"], "tool").ok().out == "the tool\n"
    execs.run(live, bundle, "tool").failed("executable file not found in $PATH")


def test_directory(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process["cwd"] = "/tmp"
    live.launch(bundle)
    assert execs.probe(live, bundle)["cwd"] == "/tmp"
    assert execs.probe(live, bundle, "--cwd", "/home/app")["cwd"] == "/home/app"
    execs.with_options(live, bundle, ["--cwd", "home"], "/bin/true").failed("/process/cwd")


def test_user(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process["user"] = {"uid": 7, "gid": 8, "additionalGids": [9]}
    live.launch(bundle)
    for words, uid, gid, groups, home in (
        ([], 7, 8, [9], "/"),
        (["--user", "0"], 0, 8, [9], "/root"),
        (["--user", "1000:2000"], 1000, 2000, [9], "/home/app"),
        (["--user", "0:0", "-g", "5", "--additional-gids", "6"], 0, 0, [5, 6, 9], "/root"),
        (["-u", "4294967294:4294967294"], 4294967294, 4294967294, [9], "/"),
    ):
        seen = execs.probe(live, bundle, *words)
        assert (seen["uids"], seen["gids"], sorted(seen["groups"])) == ([uid] * 3, [gid] * 3, groups)
        assert f"HOME={home}" in seen["env"]


ODD_USERS = [
    *("1:", ":1", "+1", " 1", "1 ", "0x1", "1_0", "\u0661", "4294967295", "4294967296", "-1", "1:2:3"),
    *("nobody", "1\n", "1e3", "1.0", "1:-1", "1:x", "0:4294967295"),
]


def test_e01_users_that_are_no_numbers(live: Case) -> None:
    bundle = execs.idle(live)
    # A user *named* 1000 is not user 1000.
    bundle.file("etc/passwd", "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\n")
    assert execs.probe(live, bundle, "--user", "1000")["uids"] == [1000] * 3
    for odd in ODD_USERS:
        result = execs.with_options(live, bundle, [f"--user={odd}"], "/bin/id")
        result.failed("user")
        assert result.code == 255
    for odd in ("x", "-1", "4294967295", ""):
        execs.with_options(live, bundle, [f"--additional-gids={odd}"], "/bin/id").failed()


def test_no_new_privileges(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process["noNewPrivileges"] = False
    live.launch(bundle)
    assert execs.probe(live, bundle)["no_new_privs"] == 0
    assert execs.probe(live, bundle, "--no-new-privs")["no_new_privs"] == 1


def test_config_edited_after_create(live: Case) -> None:
    bundle = execs.idle(live)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["env"] = ["EDITED=yes"]
    bundle.save()
    seen = execs.probe(live, bundle)
    assert seen["uids"] == [0, 0, 0]
    assert "PATH=/bin" in seen["env"] and "EDITED=yes" not in seen["env"]
    os.unlink(f"{bundle.path}/config.json")
    execs.run(live, bundle, "/bin/true").ok()


def test_detached(live: Case) -> None:
    bundle = execs.idle(live)
    pid_file = f"{live.dir}/pid"
    with open(pid_file, "w", encoding="ascii") as file:
        file.write("an older and longer text")
    words = ["--detach", "--pid-file", pid_file]
    result = execs.with_options(live, bundle, words, "/bin/sh", "-c", "echo $$; exec sleep 70001").ok()
    text = execs.read(pid_file)
    assert text.isdigit() and os.stat(pid_file).st_mode & 0o777 == 0o644
    pid = int(text)
    process.eventually(lambda: process.describe(pid) == "sleep 70001", "the program runs")
    assert result.out.strip().isdigit() and result.err == ""
    # The runtime is gone, nothing of it stays, and the nearest subreaper has the process.
    assert pid in process.children(os.getpid())
    execs.no_helper(live)
    assert set(live.command("ps", "--format", "json", bundle.id).json()) == {live.pid(bundle), pid}
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert live.status(bundle) == "running"


def test_pid_file_of_a_failure(live: Case) -> None:
    bundle = execs.idle(live)
    bundle.file("bad-interpreter", "#!/nosuch/interpreter\n", 0o755)
    for program in ("nosuch", "/bad-interpreter"):
        pid_file = f"{live.dir}/pid"
        execs.with_options(live, bundle, ["-d", "--pid-file", pid_file], program).failed("no")
        assert not os.path.exists(pid_file)
    execs.with_options(live, bundle, ["-d", "--pid-file", "/nosuch/dir/pid"], "/bin/touch", "/ran").failed("no such")
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    execs.no_helper(live)


def test_relative_pid_file(live: Case) -> None:
    bundle = execs.idle(live)
    execs.with_options(live, bundle, ["--pid-file", "here.pid"], "/bin/true", cwd=live.dir).ok()
    assert execs.read(f"{live.dir}/here.pid").isdigit()
