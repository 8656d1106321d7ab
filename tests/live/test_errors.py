"""Wrong configs: each gives one line with the JSON pointer, and leaves nothing behind.

runc differs: it names no pointers, and accepts duplicate rlimits, relative
masked paths and relative hook paths.
"""

from __future__ import annotations

import json
import os

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

DELETE = object()


def change(config: dict[str, Any], pointer: str, value: object) -> None:
    """Set (or remove) the value at a JSON pointer; `-` appends to an array."""
    where: Any = config
    *path, last = pointer.strip("/").split("/")
    for word in path:
        if isinstance(where, list):
            where = where[int(word)]
        else:
            where = where.setdefault(word, {})
    if value is DELETE:
        del where[last]
    elif last == "-":
        where.append(value)
    elif isinstance(where, list):
        where[int(last)] = value
    else:
        where[last] = value


NOFILE = {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}

# (pointer to change, value, pointer or words that the message must hold)
WRONG: list[tuple[str, object, str]] = [
    ("/process/user/uid", "0", "/process/user/uid"),
    ("/process/user/uid", True, "/process/user/uid"),
    ("/process/user/uid", 1.5, "/process/user/uid"),
    ("/process/user/uid", -1, "/process/user/uid"),
    ("/process/user/uid", 1 << 32, "/process/user/uid"),
    ("/process/user/uid", (1 << 32) - 1, "/process/user/uid"),
    ("/process/user/gid", (1 << 32) - 1, "/process/user/gid"),
    ("/process/ioPriority", {"class": "IOPRIO_CLASS_BE"}, "/process/ioPriority/priority"),
    ("/process/user/additionalGids", [1, "2"], "/process/user/additionalGids/1"),
    ("/root/readonly", "true", "/root/readonly"),
    ("/root", DELETE, "root"),
    ("/root/path", DELETE, "/root"),
    ("/process/noNewPrivileges", "yes", "/process/noNewPrivileges"),
    ("/process/terminal", 1, "/process/terminal"),
    ("/process/cwd", "tmp", "/process/cwd"),
    ("/process/cwd", "", "/process/cwd"),
    ("/process/args", [], "/process/args"),
    ("/process/args", "true", "/process/args"),
    ("/process/args", ["/bin/true", 1], "/process/args/1"),
    ("/process/args", ["/bin/true", "a\0b"], "/process/args/1"),
    ("/process/env", ["A=b", "NOEQUALS"], "/process/env/1"),
    ("/process/env", ["=x"], "/process/env/0"),
    ("/process/env", ["A=\0"], "/process/env/0"),
    ("/process/rlimits", [{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}], "/process/rlimits/0/type"),
    ("/process/rlimits", [NOFILE, NOFILE], "/process/rlimits/1"),
    ("/process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 65, "hard": 64}], "/process/rlimits/0"),
    ("/process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 64}], "/process/rlimits/0"),
    ("/process/oomScoreAdj", 1001, "/process/oomScoreAdj"),
    ("/process/consoleSize", {"height": 10}, "/process/consoleSize"),
    ("/process/capabilities/bounding", "CAP_KILL", "/process/capabilities/bounding"),
    ("/process/scheduler", {"policy": "SCHED_NOSUCH"}, "/process/scheduler/policy"),
    ("/process/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8}, "/process/ioPriority/priority"),
    ("/linux/namespaces/-", {"type": "nosuch"}, "/linux/namespaces/5/type"),
    ("/linux/namespaces/-", {"type": "pid"}, "/linux/namespaces/5"),
    ("/linux/namespaces/0/path", "relative", "/linux/namespaces/0/path"),
    ("/linux/namespaces/0/path", "/no/such/ns", "/linux/namespaces/0"),
    ("/linux/namespaces/-", {"type": "user"}, "/linux/"),
    ("/linux/uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}], "/linux/uidMappings"),
    ("/linux/timeOffsets", {"monotonic": {"secs": 1}}, "/linux/timeOffsets"),
    ("/linux/devices", [{"type": "x", "path": "/dev/x"}], "/linux/devices/0/type"),
    ("/linux/devices", [{"type": "c", "path": "/dev/x"}], "/linux/devices/0"),
    ("/linux/devices", [{"type": "c", "path": "dev/x", "major": 1, "minor": 3}], "/linux/devices/0/path"),
    ("/linux/sysctl", {"kernel.core_pattern": "x"}, "/linux/sysctl/kernel.core_pattern"),
    ("/linux/sysctl", {"vm.swappiness": "1"}, "/linux/sysctl/vm.swappiness"),
    ("/linux/sysctl", {"kernel.hostname": "x"}, "/linux/sysctl/kernel.hostname"),
    ("/linux/sysctl", {"net.core.somaxconn": 5}, "/linux/sysctl/net.core.somaxconn"),
    ("/linux/rootfsPropagation", "sideways", "/linux/rootfsPropagation"),
    ("/linux/maskedPaths", ["proc/keys"], "/linux/maskedPaths/0"),
    ("/linux/readonlyPaths", ["/ok", "proc/sys"], "/linux/readonlyPaths/1"),
    ("/linux/personality", {"domain": "MINIX"}, "/linux/personality/domain"),
    ("/hooks", {"prestart": [{"path": "bin/true"}]}, "/hooks/prestart/0/path"),
    ("/hooks", {"poststop": [{"args": ["x"]}]}, "/hooks/poststop/0"),
    ("/hooks", {"prestart": [{"path": "/bin/true", "timeout": 0}]}, "/hooks/prestart/0/timeout"),
    ("/hooks", {"prestart": [{"path": "/bin/true", "timeout": "1"}]}, "/hooks/prestart/0/timeout"),
    ("/ociVersion", "invalid", "/ociVersion"),
    ("/ociVersion", DELETE, "ociVersion"),
    ("/annotations", {"a": 1}, "/annotations/a"),
    ("/hostname", 5, "/hostname"),
    ("/mounts/-", {"type": "tmpfs"}, "/mounts/4"),
    ("/mounts/-", {"destination": "/mnt", "type": "tmpfs", "options": "ro"}, "/mounts/4/options"),
]


@pytest.mark.parametrize(
    ("pointer", "value", "words"), WRONG, ids=[f"{n}{one[0].replace('/', '-')}" for n, one in enumerate(WRONG)]
)
def test_wrong_value(live: Case, pointer: str, value: object, words: str) -> None:
    bundle = live.bundle()
    change(bundle.config, pointer, value)
    live.refused(bundle, words, verbs=["create"])


@pytest.mark.parametrize("pointer", ["/process/cwd", "/linux/devices/0", "/mounts/4"])
def test_a_name_that_is_too_long_is_told_with_the_limit(live: Case, pointer: str) -> None:
    bundle = live.bundle()
    path = f"/tmp/{'n' * 256}"
    bundle.process["cwd"] = path if pointer == "/process/cwd" else "/"
    if pointer == "/linux/devices/0":
        bundle.config["linux"]["devices"] = [{"type": "c", "path": path, "major": 1, "minor": 3}]
    elif pointer == "/mounts/4":
        assert bundle.mount(path, "tmpfs", kind="tmpfs") == 4
    live.refused(bundle, pointer, "a name has at most 255 bytes, a path 4095")


def test_an_id_of_256_letters_is_not_blamed_on_the_cgroup(live: Case) -> None:
    bundle = live.bundle()
    del bundle.config["linux"]["cgroupsPath"]
    bundle.save()
    for verb in ("create", "run", "explain"):
        result = live.command(verb, "--bundle", bundle.path, "x" * 256)
        result.failed("invalid container ID format")
        assert "of 256 letters" in result.err and "use 1 to 255" in result.err
        assert "cgroup" not in result.err


def test_every_problem_is_counted(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["cwd"] = "x"
    bundle.process["args"] = []
    bundle.config["root"]["readonly"] = 1
    live.refused(bundle, "2 more")


def test_unknown_keys_and_annotations_are_ignored(live: Case) -> None:
    bundle = live.shell("echo fine")
    bundle.config["org.example.new"] = {"any": ["thing"]}
    bundle.process["another"] = 1
    bundle.linux["third"] = None
    bundle.config["annotations"] = {"org.example.a": "", "org.opencontainers.image.stopSignal": "SIGINT"}
    assert live.output(bundle) == "fine\n"


def test_unknown_capability_is_a_warning_only(live: Case) -> None:
    bundle = live.shell("echo fine")
    bundle.process["capabilities"]["bounding"] += ["CAP_NOSUCH"]
    result = live.run(bundle).ok()
    assert result.out == "fine\n"
    assert result.err.count("CAP_NOSUCH") == 1


def raw(bundle: Bundle, data: bytes) -> Bundle:
    bundle.raw = data
    return bundle


def test_malformed_json_names_line_and_column(live: Case) -> None:
    bundle = raw(live.bundle(), b'{\n "ociVersion": "1.0.2",\n "root": {"path" "rootfs"}\n}\n')
    live.refused(bundle, "config.json", "line 3", "column")


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text after the end": b"{} {}",
    "invalid UTF-8": b'{"ociVersion": "1.0.2", "hostname": "\xff\xfe"}',
    "UTF-16": '{"ociVersion": "1.0.2"}'.encode("utf-16"),
    "comment": b"// config\n{}",
    "NaN": b'{"ociVersion": "1.0.2", "x": NaN}',
    "nested 200 deep": b'{"annotations": ' + b"[" * 200 + b"]" * 200 + b"}",
    "nested 100000 deep": b'{"x": ' + b"[" * 100000 + b"]" * 100000 + b"}",
    "unterminated": b'{"ociVersion": "1.0',
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_document(live: Case, name: str) -> None:
    live.refused(raw(live.bundle(), BROKEN[name]), "config.json", verbs=["create"], limit=5)


def test_huge_config_is_bounded(live: Case) -> None:
    # 50 MB in one annotation: either refused by size or done, within the limit, and clean.
    bundle = live.shell("echo fine")
    bundle.config["annotations"] = {"big": "x" * 50_000_000}
    result = live.run(bundle, limit=10)
    if result.code:
        result.failed("config.json")
    else:
        assert result.out == "fine\n"


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device"])
def test_config_that_is_no_file(live: Case, kind: str) -> None:
    bundle = live.bundle(config=False)
    path = f"{bundle.path}/config.json"
    if kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.symlink("/dev/zero", path)
    live.refused(bundle, "config.json", verbs=["create"], limit=4)


def test_bundle_missing(live: Case) -> None:
    live.command("create", "--bundle", "/no/such/bundle", f"{live.session.mark}-x").failed("/no/such/bundle")
    live.assert_clean()


def test_root_missing_or_no_directory(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["root"]["path"] = "nosuch"
    live.refused(bundle, "/root/path", "nosuch")
    bundle.config["root"]["path"] = "config.json"
    live.refused(bundle, "/root/path")


def test_bind_source_missing(live: Case) -> None:
    bundle = live.bundle()
    index = bundle.mount("/mnt", f"{live.dir}/nosuch", "bind")
    live.refused(bundle, f"/mounts/{index}", "nosuch")


def test_bad_mount_option(live: Case) -> None:
    bundle = live.bundle()
    index = bundle.mount("/mnt", "tmpfs", "nosuchoption=1", kind="tmpfs")
    live.refused(bundle, f"/mounts/{index}", "nosuchoption")


def test_data_option_on_a_bind(live: Case) -> None:
    bundle = live.bundle()
    index = bundle.mount("/mnt", live.canary, "bind", "size=1m")
    live.refused(bundle, f"/mounts/{index}", "size=1m")


def test_unknown_filesystem(live: Case) -> None:
    bundle = live.bundle()
    index = bundle.mount("/mnt", "x", kind="nosuchfs")
    live.refused(bundle, f"/mounts/{index}", "nosuchfs")


@pytest.mark.parametrize("container", ["", ".", "..", "a/b", "../x", "a b", "x" * 256, "a\nb", "ä", "a:b", "a%b"])
def test_bad_id(live: Case, container: str) -> None:
    bundle = live.bundle()
    bundle.save()
    live.command("create", "--bundle", bundle.path, container).failed("ID")
    live.assert_clean()
    result = live.command("state", container)
    assert result.code > 0 and result.out == ""


@pytest.mark.parametrize("container", ["a", "A.b", "x_y", "a+b", "0-1", "...", "-"])
def test_good_id(live: Case, container: str) -> None:
    bundle = live.shell("true")
    bundle.save()
    live.command("run", "--bundle", bundle.path, "--", container).ok()


def test_log_in_json(live: Case) -> None:
    # One record in the log and the bare message on stderr: engines read either.
    bundle = live.bundle(["/no/such/program"])
    bundle.save()
    log = f"{live.dir}/log.json"
    argv = [live.session.runtime, "--root", live.root, "--log", log, "--log-format", "json"]
    result = process.run([*argv, "create", "--bundle", bundle.path, bundle.id], scratch=live.scratch)
    result.failed("/no/such/program")
    with open(log, encoding="utf-8") as file:
        record = json.load(file)
    assert record["level"] == "error"
    assert "time" in record
    assert record["msg"] == result.err.strip()


def over_proc(live: Case, bundle: Bundle, mount: str) -> process.Result:
    """`run` where the caller's /proc has a mount of its own on it."""
    bundle.save()
    script = f'{mount} || exit 99; exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    return process.run([*words, *live.argv("run", "--bundle", bundle.path, bundle.id)], scratch=live.scratch)


def test_proc_of_the_caller_is_covered(live: Case) -> None:
    result = over_proc(live, live.bundle(["/bin/true"]), "mount -t tmpfs none /proc")
    result.failed("/proc/self/mountinfo", "is /proc mounted?")


def test_proc_of_the_caller_is_covered_in_part(live: Case) -> None:
    """A user namespace gets no procfs that shows more than the one it can see."""
    bundle = live.bundle(["/bin/true"])
    bundle.user_namespace()
    result = over_proc(live, bundle, "mount -t tmpfs none /proc/sys")
    result.failed("mount proc", "operation not permitted", "parts of the /proc of the caller are covered")
