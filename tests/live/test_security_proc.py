"""Executables, descriptors, masks: what a hostile program may reach (C01, C03, C05, D01-D05, D10, P01, P14)."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from . import process
from .test_security_rootfs import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

INTERPRETERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")


def with_interpreter(live: Case, bundle: Bundle) -> None:
    """The image's dynamic loader is ours: it runs when a host program is executed inside."""
    for name in INTERPRETERS:
        path = bundle.rootfs + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(f"{live.session.tools}/interp", path)


@pytest.mark.parametrize("variant", ["args", "shebang", "start hook"])
def test_c01_own_executable(live: Case, variant: str) -> None:
    bundle = live.bundle(["/proc/self/exe"])
    with_interpreter(live, bundle)
    if variant == "shebang":
        bundle.process["args"] = ["/script"]
        bundle.file("/script", "#!/proc/self/exe\n", 0o755)
    elif variant == "start hook":
        bundle.process["args"] = ["/bin/true"]
        bundle.config["hooks"] = {"startContainer": [{"path": "/proc/self/exe", "args": ["x"], "timeout": 5}]}
    result = live.run(bundle, limit=10)
    assert "OPENED" not in result.out, "a host file can be opened for writing: " + result.report()
    assert "WRITTEN" not in result.out, "the helper's memfd can be written: " + result.report()
    live.command("delete", "--force", bundle.id).ok()


def test_c01_interpreter_is_a_trap_that_works(live: Case) -> None:
    # Red reference: the same image, entered by a plain chroot of a copied dynamic host program.
    bundle = live.bundle()
    with_interpreter(live, bundle)
    copy = f"{live.dir}/copy"
    shutil.copy("/usr/bin/env", copy)
    os.mkdir(f"{bundle.rootfs}/host")
    shutil.copy(copy, f"{bundle.rootfs}/host/program")
    line = f"mount -t proc proc {bundle.rootfs}/proc && chroot {bundle.rootfs} /host/program"
    result = process.run(["unshare", "-m", "sh", "-c", line], scratch=live.scratch)
    assert "now: " in result.out, "the trap must run, or the test above proves nothing: " + result.report()


def test_c01_helper_is_not_seen_from_inside_with_a_host_file(live: Case) -> None:
    # The executable of pid 1 before the program: a sealed memfd, never the interpreter.
    bundle = live.bundle(["/bin/sleep", "600"])
    live.create(bundle)
    target = os.readlink(f"/proc/{live.pid(bundle)}/exe")
    assert "python" not in target
    assert target.startswith("/memfd:") or "(deleted)" in target, target


def test_c02_mode_of_the_helper(live: Case) -> None:
    # A container's root that spoils the helper's file must not keep others from starting.
    bundle = live.bundle(["/bin/sleep", "600"])
    live.create(bundle)
    try:
        os.chmod(f"/proc/{live.pid(bundle)}/exe", 0)
    except OSError:
        pass
    live.run(live.bundle()).ok()


@pytest.mark.parametrize("holding", [False, True])
def test_c03_working_directory_by_descriptor(live: Case, holding: bool) -> None:
    marker = f"{live.dir}/marker"
    with open(marker, "w", encoding="ascii"):
        pass
    bundle = live.bundle(["/bin/sh", "-c", f"ls ../../../../../../..{marker} && echo LEAK; pwd"])
    opened = "exec 7</tmp 8</ 20</;" if holding else ""
    for number in (*range(24), 100, 255):
        for form in ("self", "thread-self"):
            bundle.process["cwd"] = f"/proc/{form}/fd/{number}"
            bundle.save()
            line = f"{opened} exec {' '.join(live.argv('run', '--bundle', bundle.path, bundle.id))}"
            result = process.run(["/bin/bash", "-c", line], scratch=live.scratch)
            assert "LEAK" not in result.out, f"fd {number}: " + result.report()
            if result.err.startswith("time=") or (result.code and not result.out):
                result.failed("/process/cwd")


def test_c03_working_directory_through_a_link(live: Case) -> None:
    bundle = live.bundle(["/bin/sh", "-c", "ls ../../../../../../../etc/passwd; pwd"])
    for number in range(3, 16):
        link = f"{bundle.rootfs}/w"
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(f"/proc/self/fd/{number}", link)
        bundle.process["cwd"] = "/w"
        settle(live.run(bundle), "/process/cwd")


def masked(live: Case) -> tuple[Bundle, str]:
    """An image without a mounted /dev, a masked file and directory, and a target for links."""
    bundle = live.shell(
        "echo injected > /etc/masked; cat /etc/masked; cat /hidden/file; touch /hidden/new && echo made; echo end"
    )
    bundle.without_dev()
    bundle.file("/etc/masked", "the secret\n")
    bundle.file("/hidden/file", "the secret\n")
    bundle.linux["maskedPaths"] = ["/etc/masked", "/hidden"]
    return bundle, bundle.file("/target", "target\n")


@pytest.mark.parametrize("kind", ["link", "file", "fifo", "zero", "hard link", "mode 0600", "link out", "directory"])
def test_d01_null_of_the_image(live: Case, kind: str) -> None:
    # runc 1.1 differs: it binds the target writable.
    bundle, target = masked(live)
    path = f"{bundle.rootfs}/dev/null"
    if kind == "link":
        os.symlink("/target", path)
    elif kind == "link out":
        os.symlink(f"{live.canary}/sysctl", path)
    elif kind == "file":
        bundle.file("/dev/null", "fake\n")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == "hard link":
        os.link(target, path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    result = live.run(bundle, limit=5)
    assert "secret" not in result.out
    assert "injected" not in result.out
    assert "made" not in result.out
    with open(target, encoding="ascii") as file:
        assert file.read() == "target\n"
    if "end" not in result.out:
        result.failed("/dev")
    live.assert_clean()


@pytest.mark.parametrize("kind", ["createContainer", "createRuntime"])
def test_d01_null_exchanged_at_one_point(live: Case, kind: str) -> None:
    # The deterministic twin of the race: a hook makes the exchange.
    bundle, target = masked(live)
    bundle.hook(kind, f"rm -f {bundle.rootfs}/dev/null; ln -s /target {bundle.rootfs}/dev/null")
    result = live.run(bundle, limit=5)
    assert "secret" not in result.out
    assert "injected" not in result.out
    with open(target, encoding="ascii") as file:
        assert file.read() == "target\n"
    if "end" not in result.out:
        result.failed()


def test_d02_null_removed_during_set_up(live: Case) -> None:
    # "Not found" about the source must not be taken for "not found" about the masked path.
    bundle, _ = masked(live)
    swapper = [f"{live.session.tools}/swapper", "recreate", f"{bundle.rootfs}/dev/null"]
    neighbour, _, _ = process.spawn(swapper, scratch=live.scratch)
    for _ in range(30):
        result = live.run(bundle, limit=5)
        assert "secret" not in result.out, result.report()
        if "end" not in result.out:
            result.failed()
    neighbour.kill()
    process.wait_end(neighbour, 5)


@pytest.mark.parametrize("name", ["ptmx", "pts", "console", "tty"])
@pytest.mark.parametrize("kind", ["link", "file", "directory"])
def test_d03_terminal_files_of_the_image(live: Case, name: str, kind: str) -> None:
    bundle = live.bundle(["/bin/true"])
    bundle.config["mounts"] = [one for one in bundle.mounts if one["destination"] != "/dev"]
    path = f"{bundle.rootfs}/dev/{name}"
    if kind == "link":
        os.symlink(f"{live.canary}/{name}", path)
    elif kind == "file":
        bundle.file(f"/dev/{name}", "decoy\n")
    else:
        os.mkdir(path)
    settle(live.run(bundle, limit=5))
    live.assert_clean()


def test_d10_mask_of_a_link_to_proc(live: Case) -> None:
    bundle = live.shell("cat /a; cat /proc/keys; echo end")
    os.symlink("/proc/keys", f"{bundle.rootfs}/a")
    bundle.linux["maskedPaths"] = ["/a"]
    assert live.output(bundle) == "end\n"


def test_d10_directories_share_no_data(live: Case) -> None:
    bundle = live.shell(
        "ls -Ad /one/* /two/* 2> /dev/null; touch /one/x 2> /dev/null; mkdir /two/x 2> /dev/null; ls -A /one /two | grep x; echo end"
    )
    for name in ("one", "two"):
        bundle.file(f"/{name}/f", "secret")
    bundle.linux["maskedPaths"] = ["/one", "/two"]
    assert live.output(bundle) == "end\n"


TRAPS = (
    "json",
    "struct",
    "signal",
    "re",
    "codecs",
    "os",
    "site",
    "sitecustomize",
    "usercustomize",
    "encodings/idna",
    "ocirun",
)


def test_p01_nothing_is_imported_from_the_caller(live: Case) -> None:
    traps = f"{live.dir}/traps"
    for name in TRAPS:
        path = f"{traps}/{name}.py"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write("import os\nos.write(2, b'TRAP\\n')\n")
    env = {
        **process.BARE_ENVIRONMENT,
        "PYTHONPATH": traps,
        "PYTHONHOME": traps,
        "HOME": traps,
        "PYTHONINSPECT": "1",
        "PYTHONSTARTUP": f"{traps}/json.py",
        "PYTHONWARNINGS": "error::nosuch.y",
        "PYTHONVERBOSE": "1",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    bundle = live.shell("echo fine")
    result = live.run(bundle, env=env, cwd=traps).ok()
    assert (result.out, result.err) == ("fine\n", "")
    result = live.command("state", "nosuch", env=env, cwd=traps).failed("does not exist")
    assert "TRAP" not in result.err


def test_p03_no_bytecode_is_written_for_all(live: Case) -> None:
    def before() -> None:
        os.umask(0)

    live.run(live.bundle(), before=before).ok()
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for where, _, files in os.walk(f"{here}/runtime/ocirun"):
        for name in files:
            assert not os.stat(f"{where}/{name}").st_mode & stat.S_IWOTH, f"{where}/{name} can be written by anybody"


@pytest.mark.parametrize("text", ["\x1b[31mred", "two\nlines", '"quoted" \\ back', "ünïcode", "%s %d {0}", "a" * 5000])
def test_g05_text_of_the_config_in_errors(live: Case, text: str) -> None:
    # One line, no control characters, whatever the string is.
    bundle = live.bundle([f"/no/such/{text}"])
    result = live.make("create", bundle)
    result.failed("no such file or directory" if len(text) < 255 else "")
    assert "\x1b" not in result.err
    live.assert_clean()
