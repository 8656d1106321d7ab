"""What runtimes have got wrong and no other test here tries: odd combinations of fields that are each fine alone."""

from __future__ import annotations

import os
import stat

import pytest

from . import execs, peers, process
from .test_cgroup import need, value
from .test_terminal import with_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

SLEEP = ["/bin/sleep", "600"]


def test_list_of_a_root_that_is_missing(live: Case) -> None:
    # One that was named must be there; the default one comes with the first container.
    argv = [live.session.runtime, "--root", f"{live.dir}/none", "list"]
    process.run(argv, scratch=live.scratch).failed("none")


def test_cgroup_that_somebody_else_made_stays(live: Case) -> None:
    # The program moves itself out of ours; a deletion removes ours only.
    need("pids")
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    other = live.group(f"/sys/fs/cgroup/pids{live.session.parent}/{bundle.id}-other")
    with open(f"{other}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(live.pid(bundle)))
    live.delete(bundle, "--force")
    assert os.path.isdir(other)
    process.eventually(lambda: not execs.read(f"{other}/cgroup.procs"), "it is empty")
    os.rmdir(other)
    live.assert_clean()


def test_program_without_its_bit_and_the_capability_to_pass_over_it(live: Case) -> None:
    bundle = live.bundle(["/tmp/program"])
    bundle.file("/tmp/program", "#!/bin/sh\necho ran\n", 0o744)
    os.chown(f"{bundle.rootfs}/tmp/program", 0, 0)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    every = bundle.process["capabilities"]
    every["effective"].remove("CAP_DAC_OVERRIDE")
    live.make("run", bundle).failed("permission denied")
    every["effective"].append("CAP_DAC_OVERRIDE")
    every["inheritable"] = every["ambient"] = ["CAP_DAC_OVERRIDE"]
    assert live.output(bundle) == "ran\n"


def test_directory_that_exec_cannot_enter_is_told_once(live: Case) -> None:
    bundle = execs.idle(live)
    bundle.file("/plain")
    execs.with_options(live, bundle, ["--cwd", "/plain"], "/bin/true").failed("chdir to cwd", "not a directory")


@pytest.mark.parametrize("source", [".", "./", "rootfs/.."])
def test_source_is_the_bundle(live: Case, source: str) -> None:
    bundle = live.shell("ls /mnt; ls /a/b")
    bundle.mount("/mnt", source, "bind", "ro")
    bundle.mount("/a//b/", f"{live.canary}/sub", "bind")
    assert live.output(bundle).split() == ["config.json", "rootfs"]


def test_rbind_stays_recursive_with_a_later_bind(live: Case) -> None:
    volume = f"{live.dir}/volume"
    os.makedirs(f"{volume}/below")
    live.mount("mark", f"{volume}/below", "tmpfs")
    bundle = live.shell("grep -c ' /mnt/below ' /proc/self/mountinfo")
    bundle.mount("/mnt", volume, "rbind", "bind", "ro")
    assert live.output(bundle) == "1\n"


@pytest.mark.parametrize("mode", [0o1777, 0o2775, 0o4711, 0o0700])
def test_tmpfs_takes_all_twelve_bits(live: Case, mode: int) -> None:
    bundle = live.shell("stat -c %a /mnt /other")
    for name in ("mnt", "other"):
        os.makedirs(f"{bundle.rootfs}/{name}", exist_ok=True)
        os.chmod(f"{bundle.rootfs}/{name}", mode)
    bundle.mount("/mnt", "tmpfs", kind="tmpfs")
    bundle.mount("/other", "tmpfs", "mode=0751", kind="tmpfs")
    assert live.output(bundle).split() == [f"{mode:o}", "751"]
    assert stat.S_IMODE(os.stat(f"{bundle.rootfs}/other").st_mode) == mode


def test_tmpcopyup_keeps_modes_whatever_the_umask(live: Case) -> None:
    bundle = live.shell("stat -c %a /var/d /var/d/f")
    os.makedirs(f"{bundle.rootfs}/var/d")
    os.chmod(f"{bundle.rootfs}/var/d", 0o1777)
    bundle.file("/var/d/f", "x", 0o4666)
    bundle.mount("/var", "tmpfs", "tmpcopyup", kind="tmpfs")
    assert live.output(bundle, before=lambda: os.umask(0o77)).split() == ["1777", "4666"]


@pytest.mark.parametrize("text", ["/nowhere/at/all", "../../../up", "more"])
def test_link_to_nowhere_is_followed_inside(live: Case, text: str) -> None:
    bundle = live.shell("ls /link")
    os.symlink(text, f"{bundle.rootfs}/link")
    bundle.mount("/link", f"{live.canary}/sub", "bind")
    live.output(bundle)
    inside = os.path.normpath(f"/{text}")
    assert os.path.isdir(f"{bundle.rootfs}{inside if inside != '/' else ''}")


@pytest.mark.parametrize("word", ["ro", "rro"])
def test_special_files_as_sources_that_are_read_only(live: Case, word: str) -> None:
    os.mkfifo(f"{live.dir}/fifo")
    bundle = live.shell("test -p /mnt/fifo && test -c /mnt/null && echo yes")
    for name, source in (("fifo", f"{live.dir}/fifo"), ("null", "/dev/null")):
        bundle.mount(f"/mnt/{name}", source, "bind", word)
    assert live.output(bundle) == "yes\n"


def test_two_sources_that_root_inside_may_not_reach(live: Case) -> None:
    bundle = live.shell("cat /mnt/a/f /mnt/b/f")
    bundle.user_namespace()
    for name in "ab":
        os.makedirs(f"{live.dir}/closed/{name}")
        with open(f"{live.dir}/closed/{name}/f", "w", encoding="ascii") as file:
            file.write(name)
        bundle.mount(f"/mnt/{name}", f"{live.dir}/closed/{name}", "bind", "ro")
    os.chmod(f"{live.dir}/closed", 0o700)
    assert live.output(bundle) == "ab"


def test_unbindable_root(live: Case) -> None:
    bundle = live.shell("mkdir /tmp/m; mount --bind / /tmp/m || echo refused")
    bundle.linux["rootfsPropagation"] = "unbindable"
    for name in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][name].append("CAP_SYS_ADMIN")
    result = live.run(bundle)
    assert result.out == "refused\n"
    assert "nvalid argument" in result.err


@pytest.mark.parametrize("path", ["/dev/tty", "/dev/ptmx", "/dev/null"])
def test_default_device_that_is_listed_too(live: Case, path: str) -> None:
    major, minor = {"/dev/tty": (5, 0), "/dev/ptmx": (5, 2), "/dev/null": (1, 3)}[path]
    bundle = live.shell(f"stat -c '%F %a %u %g' {path}")
    entry = {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o600, "uid": 7, "gid": 8}
    bundle.linux["devices"] = [entry]
    # /dev/ptmx is that of the container's own devpts, whatever is listed.
    wanted = "symbolic link 777 0 0\n" if path == "/dev/ptmx" else "character special file 600 7 8\n"
    assert live.output(bundle) == wanted


def test_devices_with_odd_paths_keep_mode_and_owner(live: Case) -> None:
    bundle = live.shell("stat -c '%a %u %g' /dev/one /two")
    for path in ("/dev/one/", "/two"):
        entry = {"path": path, "type": "u", "major": 1, "minor": 5, "fileMode": 0o662, "uid": 3, "gid": 4}
        bundle.linux.setdefault("devices", []).append(entry)
    assert live.output(bundle, before=lambda: os.umask(0o77)) == "662 3 4\n" * 2


def test_rules_hold_for_a_bound_dev(live: Case) -> None:
    need("devices")
    folder = f"{live.dir}/dev"
    os.mkdir(folder)
    for name, major, minor in (("null", 1, 3), ("mem", 1, 1), ("zero", 1, 5)):
        os.mknod(f"{folder}/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
    bundle = live.shell("head -c 1 /dev/mem >/dev/null && echo opened; head -c 1 /dev/zero | wc -c")
    bundle.without_dev()
    bundle.mount("/dev", folder, "bind")
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    result = live.run(bundle)
    assert "opened" not in result.out and result.out.split()[-1] == "1", result.report()
    assert "ot permitted" in result.err


def test_memory_without_limit_lifts_swap_too(live: Case) -> None:
    need("memory")
    if not os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"):
        pytest.skip("the kernel counts no swap")
    bundle = live.bundle(SLEEP)
    bundle.linux["resources"] = {"memory": {"limit": 64 << 20, "swap": 128 << 20}}
    live.launch(bundle)
    live.command("update", "--memory", "-1", bundle.id).ok()
    for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        assert int(value(live, bundle, file)) > 1 << 60


def test_idle_is_a_switch(live: Case) -> None:
    need("cpu")
    bundle = live.bundle(SLEEP)
    bundle.linux["resources"] = {"cpu": {"idle": 1}}
    live.launch(bundle)
    assert value(live, bundle, "cpu.idle") == "1"
    live.delete(bundle, "--force")
    bundle = live.bundle()
    bundle.linux["resources"] = {"cpu": {"idle": 2}}
    live.refused(bundle, "/linux/resources/cpu/idle")


@pytest.mark.parametrize("size", ["3MB", "2M", "0MB", "2mb"])
def test_huge_pages_of_a_size_that_there_is_not(live: Case, size: str) -> None:
    bundle = live.bundle()
    bundle.linux["resources"] = {"hugepageLimits": [{"pageSize": size, "limit": 0}]}
    live.refused(bundle, "/linux/resources/hugepageLimits/0")


def test_same_device_throttled_twice(live: Case) -> None:
    need("blkio")
    with open("/proc/partitions", encoding="ascii") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("major")]
    major, minor = int(rows[0][0]), int(rows[0][1])
    bundle = live.bundle(SLEEP)
    entry = {"major": major, "minor": minor}
    rates = [{**entry, "rate": 1000}, {**entry, "rate": 5000}]
    bundle.linux["resources"] = {"blockIO": {"throttleReadBpsDevice": rates}}
    live.launch(bundle)
    assert value(live, bundle, "blkio.throttle.read_bps_device") == f"{major}:{minor} 5000"


def test_empty_host_name(live: Case) -> None:
    bundle = live.shell("hostname")
    bundle.config["hostname"] = ""
    live.run(bundle).ok()


@pytest.mark.parametrize("path", ["", "@abstract"])
def test_listener_path_that_is_none(live: Case, path: str) -> None:
    bundle = live.bundle()
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    live.refused(bundle, "/linux/seccomp")


@pytest.mark.parametrize("version", ["", "invalid", "1", "2.0.0", "1.0"])
def test_version_that_is_none(live: Case, version: str) -> None:
    bundle = live.bundle()
    bundle.config["ociVersion"] = version
    live.refused(bundle, "/ociVersion")


def test_deadline_that_the_kernel_refuses(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 10000000}
    live.refused(bundle, "/process/scheduler")


def test_deadline_with_few_processors(live: Case) -> None:
    """EPERM of sched_setattr(2) is then the cpuset's, and no share of real time would help."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    bundle = live.bundle()
    bundle.linux["resources"] = {"cpu": {"cpus": str(min(os.sched_getaffinity(0)))}}
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 10**7, "deadline": 10**8, "period": 10**8}
    error = live.make("create", bundle).failed("/process/scheduler", "resources.cpu.cpus").err
    assert "realtimeRuntime" not in error


def test_memory_node_beyond_all_numbers(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "9876543210"}
    live.refused(bundle, "/linux/memoryPolicy/nodes")


@pytest.mark.parametrize("kind", ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"])
def test_every_wrong_type_of_namespace(live: Case, kind: str) -> None:
    other = {"uts": "ipc"}.get(kind, "uts")
    bundle = live.bundle()
    bundle.namespace(kind, f"/proc/self/ns/{other}")
    if kind == "uts":
        bundle.config.pop("hostname")
    live.refused(bundle, f"a {other} namespace, not a {kind} one", verbs=("create",))


def test_console_of_size_zero(live: Case) -> None:
    bundle = with_terminal(live, "test -t 0 && echo on a terminal")
    bundle.process["consoleSize"] = {"height": 0, "width": 0}
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        terminal.expect("on a terminal")
        assert terminal.finish() == 0
    finally:
        terminal.close()


@pytest.mark.parametrize("words", [(), ("--rootless",)])
def test_spec_runs_without_a_warning(live: Case, words: tuple[str, ...]) -> None:
    bundle = live.bundle(config=False)
    live.command("spec", "--bundle", bundle.path, *words).ok()
    assert "0 errors, 0 warnings, 0 notes" in live.command("check", "--bundle", bundle.path).ok().out
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        terminal.expect("#")
        os.write(terminal.master, b"exit 7\r")
        assert terminal.finish() == 7
    finally:
        terminal.close()
    assert "arning" not in terminal.seen
