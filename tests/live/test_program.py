"""Programs that cannot run: told at create where that is possible, in words engines know."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_not_found_by_path(live: Case) -> None:
    live.refused(live.bundle(["/no/such/program"]), "/no/such/program", "no such file or directory")


def test_not_found_in_path(live: Case) -> None:
    live.refused(live.bundle(["nosuchprogram"]), "nosuchprogram", "executable file not found in $PATH")


def test_not_executable(live: Case) -> None:
    bundle = live.bundle(["/plain"])
    bundle.file("/plain", "#!/bin/sh\n", 0o644)
    live.refused(bundle, "/plain", "permission denied")


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "dangling link", "link loop"])
def test_no_program_at_all(live: Case, kind: str) -> None:
    bundle = live.bundle(["/thing"])
    path = f"{bundle.rootfs}/thing"
    if kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path, 0o755)
    elif kind == "socket":
        os.mknod(path, 0o140755)
    elif kind == "dangling link":
        os.symlink("/nowhere", path)
    else:
        os.symlink("thing", path)
    live.refused(bundle, "/thing", limit=4)


@pytest.mark.parametrize("content", ["", "no program\n", "#!/no/such/interpreter\n", "\x7fELF garbage"])
def test_wrong_format(live: Case, content: str) -> None:
    # The kernel tells this only at execve, which is at start.
    bundle = live.bundle(["/script"])
    bundle.file("/script", content, 0o755)
    result = live.run(bundle)
    result.failed("/script")
    live.assert_clean()
    live.create(bundle)
    live.command("start", bundle.id).failed("/script")
    live.until(bundle, "stopped")
    live.delete(bundle)
    live.assert_clean()


def test_path_of_the_config_is_searched(live: Case) -> None:
    bundle = live.bundle(["tool"])
    bundle.file("/opt/x/tool", "#!/bin/sh\necho found\n", 0o755)
    bundle.process["env"] = ["PATH=/nosuch:/opt/x:/bin"]
    assert live.output(bundle) == "found\n"


@pytest.mark.parametrize("program", ["./tool", "sub/../tool"])
def test_relative_program_starts_from_cwd(live: Case, program: str) -> None:
    bundle = live.bundle([program])
    bundle.file("/work/tool", "#!/bin/sh\necho found in $PWD\n", 0o755)
    os.mkdir(f"{bundle.rootfs}/work/sub")
    bundle.process["cwd"] = "/work"
    assert live.output(bundle) == "found in /work\n"


def test_first_match_that_is_executable(live: Case) -> None:
    # As execvp(3): a file that may not be executed does not end the search.
    bundle = live.bundle(["tool"])
    bundle.file("/a/tool", "#!/bin/sh\necho a\n", 0o644)
    bundle.file("/b/tool", "#!/bin/sh\necho b\n", 0o755)
    bundle.process["env"] = ["PATH=/a:/b:/bin"]
    assert live.output(bundle) == "b\n"


def test_program_only_its_user_may_execute(live: Case) -> None:
    bundle = live.bundle(["/mine"])
    path = bundle.file("/mine", "#!/bin/sh\necho mine\n", 0o700)
    os.chown(path, 1000, 1000)
    bundle.process["capabilities"] = {}
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    os.chmod(path, 0o500)
    assert live.output(bundle) == "mine\n"
    bundle.process["user"] = {"uid": 1001, "gid": 1001}
    live.refused(bundle, "/mine", "permission denied")


def test_argv_zero_is_kept(live: Case) -> None:
    bundle = live.bundle()
    assert live.probe(bundle)["args"] == ["/probe"]
    bundle.process["args"] = ["./probe", "--exit", "0", "with space", "ü", ""]
    assert live.run(bundle).ok().json()["args"] == ["./probe", "--exit", "0", "with space", "ü", ""]


@pytest.mark.parametrize("name", ["/tools/tool", "tool"])
def test_mount_that_forbids_execution(live: Case, name: str) -> None:
    bundle = live.bundle([name])
    bundle.config["process"]["env"] = ["PATH=/empty:/tools"]
    mount = {"destination": "/tools", "source": "/bin", "options": ["bind", "ro", "noexec"]}
    bundle.config["mounts"].append(mount)
    os.makedirs(f"{bundle.rootfs}/tools", exist_ok=True)
    source = f"{live.dir}/tools"
    os.mkdir(source)
    mount["source"] = source
    shutil.copy("/bin/busybox", f"{source}/tool")
    result = live.run(bundle)
    result.failed("permission denied", "it is on a mount with noexec")
    assert result.code in (1, 126)
    os.chmod(f"{source}/tool", 0o644)
    mount["options"] = ["bind"]
    assert "noexec" not in live.run(bundle).failed("permission denied").err


def test_program_of_another_architecture(live: Case) -> None:
    bundle = live.bundle(["/foreign"])
    with open("/bin/busybox", "rb") as file:
        program = bytearray(file.read())
    program[18:20] = (0xF00D).to_bytes(2, "little")  # e_machine of elf(5)
    bundle.file("/foreign", "", 0o755)
    with open(f"{bundle.rootfs}/foreign", "wb") as file:
        file.write(program)
    live.run(bundle).failed("exec format error", "another architecture")


def test_missing_loader(live: Case) -> None:
    bundle = live.bundle(["/dynamic"])
    shutil.copy(os.path.realpath(sys.executable), f"{bundle.rootfs}/dynamic")
    live.run(bundle).failed("no such file or directory", "its interpreter or loader is not")
