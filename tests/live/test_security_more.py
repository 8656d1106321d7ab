"""More of what others fell for: the root and /proc exchanged, sysctls led astray, secrets, cgroups, names in common.

The ids in the names are those of docs/attacks.md.
"""

from __future__ import annotations

import os

import pytest

from . import process
from .test_security_races import exchanging, stop
from .test_security_rootfs import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

SECRET = "s3cr3t-of-the-config"


LOOK = "cd /proc; cat sys/kernel/msgmax; cat keys; (echo 4242 > sys/kernel/msgmnb) 2> /dev/null; cat sys/kernel/msgmnb"


def false_proc(live: Case) -> Bundle:
    """A container that depends on its /proc, with another directory that looks like one, and a link to it."""
    bundle = live.shell(LOOK)
    os.symlink("fake", f"{bundle.rootfs}/link")
    bundle.linux["sysctl"] = {"kernel.msgmax": "4321"}
    bundle.linux["maskedPaths"] = ["/proc/keys"]
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    for name in ("keys", "sys/kernel/msgmax", "sys/kernel/msgmnb"):
        bundle.file(f"/fake/{name}", "fake\n")
    return bundle


def in_force(output: str) -> bool:
    """What LOOK shows of the real /proc: the sysctl, nothing at the mask, no change of the read-only file."""
    lines = output.split()
    return len(lines) == 2 and lines[0] == "4321" and lines[1] != "4242"


def test_a07_proc_moved_while_paths_are_covered(live: Case) -> None:
    # What is covered is covered in the mount itself, whatever its mount point is called at that time.
    bundle = false_proc(live)
    root = bundle.rootfs
    bundle.hook("createRuntime", f"mv {root}/proc {root}/elsewhere && mv {root}/link {root}/proc")
    result = live.create(bundle)
    os.rename(f"{root}/proc", f"{root}/link")
    os.rename(f"{root}/elsewhere", f"{root}/proc")
    live.start(bundle)
    live.until(bundle, "stopped")
    assert in_force(result.out), result.report()


def test_a07_proc_exchanged_with_a_link(live: Case) -> None:
    # Refused, or a false /proc, or the real one with its sysctl, mask and read-only path in force.
    bundle = false_proc(live)
    neighbour = exchanging(live, f"{bundle.rootfs}/proc", f"{bundle.rootfs}/link")
    counts = {"refused": 0, "real": 0, "false": 0}
    try:
        for _ in range(25):
            result = live.run(bundle)
            if result.code:
                settle(result)
                counts["refused"] += 1
                continue
            false = result.out.startswith("fake\n")
            assert false or in_force(result.out), result.report()
            counts["false" if false else "real"] += 1
    finally:
        stop(neighbour)
    assert counts["real"] and counts["refused"] + counts["false"], f"no race took place: {counts}"


def test_a12_root_exchanged_during_set_up(live: Case) -> None:
    # One of the two trees is used throughout: what is at its top, deep in it, and mounted into it.
    bundle = live.shell("cat /mark /deep/er/mark; ls /mnt/inside; ls -d /dev/mine")
    other = f"{bundle.path}/other"
    process.run(["cp", "-a", bundle.rootfs, other], scratch=live.scratch).ok()
    for tree, text in ((bundle.rootfs, "one"), (other, "two")):
        os.makedirs(f"{tree}/deep/er")
        for name in ("mark", "deep/er/mark"):
            with open(f"{tree}/{name}", "w", encoding="ascii") as file:
                file.write(text + "\n")
    os.mkdir(f"{live.dir}/source")
    os.mkdir(f"{live.dir}/source/inside")
    bundle.mount("/mnt", f"{live.dir}/source", "bind")
    bundle.linux["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3}]
    neighbour = exchanging(live, bundle.rootfs, other)
    seen = set()
    for _ in range(40):
        words = live.run(bundle).ok().out.split()
        assert words[0] == words[1] and len(words) == 3, words
        seen.add(words[0])
    stop(neighbour)
    assert seen == {"one", "two"}, f"no race took place: {seen}"


def test_b02_sysctl_file_covered_by_a_hook(live: Case) -> None:
    # What lies over the file of the container's /proc is not written to; the parameter is set all the same.
    bundle = live.bundle()
    bundle.linux["sysctl"] = {"kernel.msgmax": "4321"}
    bundle.process["args"] = ["/bin/sh", "-c", ""]
    place = f"{bundle.rootfs}/proc/sys/kernel/msgmax"
    decoy = f"{live.dir}/decoy"
    with open(decoy, "w", encoding="ascii") as file:
        file.write("decoy\n")
    bundle.hook("createContainer", f"mount --bind {decoy} {place}")
    bundle.process["args"][2] = "cat $P; umount $P && cat $P"
    bundle.process["env"].append("P=/proc/sys/kernel/msgmax")
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_ADMIN")
    assert live.output(bundle) == "decoy\n4321\n"


def test_c11_secrets_of_the_config_are_seen_in_the_program_only(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.process["env"].append(f"TOKEN={SECRET}")
    bundle.save()
    log = f"{live.dir}/log"
    live.command("--debug", "--log", log, "create", "--bundle", bundle.path, bundle.id).ok()
    pid = live.pid(bundle)
    for name in ("cmdline", "environ", "comm"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            assert SECRET.encode() not in file.read(), f"{name} of the waiting process"
    result = live.command("--debug", "--log", log, "start", bundle.id).ok()
    with open(f"/proc/{pid}/environ", "rb") as file:
        assert SECRET.encode() in file.read()
    told = [result.err]
    if os.path.exists(log):
        with open(log, encoding="utf-8") as text:
            told.append(text.read())
    bundle.process["args"] = ["/no/such/program"]
    failed = live.bundle()
    failed.process.update(bundle.process)
    told += [live.run(failed).err, live.command("state", bundle.id).ok().out]
    assert SECRET not in "".join(told)


@pytest.mark.parametrize("namespace", [True, False])
@pytest.mark.parametrize("readonly", [True, False])
def test_f01_cgroups_of_the_host_are_out_of_reach(live: Case, namespace: bool, readonly: bool) -> None:
    # Nothing but the container's own groups is there to be seen; what is asked read-only is.
    script = (
        "find /sys/fs/cgroup -name release_agent -exec sh -c 'echo x 2>/dev/null > $1 && echo agent $1' _ {} \\;;"
        "for top in /sys/fs/cgroup/*/; do mkdir $top/made 2>/dev/null && echo made && rmdir $top/made;"
        "  ls -d $top/../*/*/cgroup.procs 2>/dev/null | grep -v made; done; echo end"
    )
    bundle = live.shell(script)
    bundle.mounts.append({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]})
    options = ["nosuid", *(["ro"] if readonly else [])]
    bundle.mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options})
    if namespace:
        bundle.namespace("cgroup")
    words = live.output(bundle).split()
    assert words[-1] == "end"
    found = [word for word in words[:-1] if word != "made"]
    assert not found, f"groups and files that are not the container's: {found}"
    if readonly:
        assert "made" not in words


def test_g10_no_abstract_names(live: Case) -> None:
    # They have no file permissions, and a container with the host's network could connect.
    def names() -> set[str]:
        with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
            return {
                line.split()[7]
                for line in file.readlines()[1:]
                if len(line.split()) > 7 and line.split()[7].startswith("@")
            }

    before = names()
    seen = f"{live.dir}/seen"
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.share_host("network")
    bundle.hook("createRuntime", f"cat /proc/net/unix > {seen}")
    live.create(bundle)
    assert names() == before
    with open(seen, encoding="ascii", errors="replace") as file:
        during = {line.split()[7] for line in file.readlines()[1:] if len(line.split()) > 7}
    assert {name for name in during if name.startswith("@")} == before
    live.start(bundle)
    assert names() == before


def test_g15_nobody_learns_what_root_has(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    live.launch(bundle)
    os.chmod(live.dir, 0o755)

    def nobody() -> None:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)

    for words in (["state"], ["kill"], ["ps"], ["events", "--stats"], ["delete"]):
        told = []
        for name in (bundle.id, "there-is-none-such"):
            result = process.run(live.argv(*words, name), scratch=live.scratch, before=nobody)
            assert result.code and not result.out, result.report()
            told.append(result.err.partition("level=")[2].replace(name, "ID"))
        assert told[0] == told[1], told
    assert not process.run(live.argv("list", "--quiet"), scratch=live.scratch, before=nobody).out
    assert live.status(bundle) == "running"
