"""Command lines of engines, word for word: all their options are known, and mean what they should."""

from __future__ import annotations

import shlex

import pytest

from ocirun.cli.commands import load
from ocirun.cli.parse import Values, parse
from ocirun.cli.table import GLOBALS

SHIM = "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json"
CONMON = "--systemd-cgroup --log-format=json --log /run/x/oci-log"

#: The line, and some of what it says; a name alone stands for a flag.
LINES = [
    # containerd and Docker
    (f"{SHIM} create --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty/pty.sock --no-pivot ID", "no-pivot"),
    (f"{SHIM} create --bundle /b --pid-file /b/init.pid --no-new-keyring ID", "pid-file=/b/init.pid no-new-keyring"),
    (f"{SHIM} --systemd-cgroup start ID", ""),
    (f"{SHIM} exec --process /tmp/p --console-socket /s --detach --pid-file /b/e.pid ID", "detach process=/tmp/p"),
    (f"{SHIM} kill --all ID 9", "all"),
    (f"{SHIM} pause ID", ""),
    (f"{SHIM} resume ID", ""),
    (f"{SHIM} ps --format json ID", "format=json"),
    (f"{SHIM} update --resources - ID", "resources=-"),
    (f"{SHIM} update --resources=- ID", "resources=-"),
    (f"{SHIM} delete ID", ""),
    (f"{SHIM} delete --force ID", "force"),
    (
        (
            f"{SHIM} checkpoint --image-path /i --work-path /w --tcp-established --ext-unix-sk --shell-job --file-locks "
            "--empty-ns network --leave-running ID"
        ),
        "image-path=/i work-path=/w tcp-established ext-unix-sk shell-job file-locks leave-running",
    ),
    (
        (
            f"{SHIM} restore --image-path /i --work-path /w --detach --pid-file /p --console-socket /s --no-pivot "
            "-no-subreaper --bundle /b ID"
        ),
        "detach no-pivot no-subreaper bundle=/b",
    ),
    # newer ones
    (f"{SHIM} create --bundle /b --pid-file /p --pidfd-socket /s ID", "pidfd-socket=/s"),
    (f"{SHIM} features", ""),
    # BuildKit
    ("--log /l.json --log-format json run --bundle /b --keep ID", "keep"),
    ("--log /l.json --log-format json exec --process /p --pid-file /f ID", "pid-file=/f"),
    # podman
    (f"{CONMON} --cgroup-manager disabled create --bundle /u --pid-file /p --preserve-fds 1 ID", "preserve-fds=1"),
    (f"{CONMON} exec --pid-file /p --process /x --detach --tty --preserve-fds 2 --console-socket /s ID", "tty detach"),
    (
        (
            f"{CONMON} restore --bundle /u --pid-file /p --detach --image-path /c --work-path /u --tcp-established "
            "--tcp-close --file-locks --lsm-profile=selinux:x --lsm-mount-context=y ID"
        ),
        "tcp-close lsm-profile=selinux:x lsm-mount-context=y",
    ),
    ("checkpoint --image-path /i --work-path /w --leave-running --leave-running ID", "leave-running"),
    ("--debug --cgroup-manager cgroupfs update --resources=/tmp/f ID", "resources=/tmp/f"),
    ("--log-level=debug --log journald:podman --log-format=text --cgroup-manager systemd start ID", ""),
    # scripts written for crun
    ("--log syslog:c --log-level error create -f /b/other.json -b /b ID", "config=/b/other.json bundle=/b"),
    ("run --config=other.json --detach ID", "config=other.json detach"),
    ("kill --all --regex ID KILL", "all regex"),
    ("delete -r -f ID", "regex force"),
    # buildah
    ("--systemd-cgroup create --bundle /d --pid-file /d/pid --no-new-keyring --no-pivot ID", "no-pivot"),
    ("kill ID SIGKILL", ""),
    ("kill ID", ""),
    # CRI-O
    ("--root=/run/x --systemd-cgroup create --bundle /b --pid-file /b/pidfile ID", "bundle=/b"),
    ("--root /run/x kill -a ID 9", "all"),
    ("--root /run/x checkpoint --file-locks --image-path /i --work-path /w ID", "file-locks"),
    # go-runc's other calls, and a person's
    (
        (
            "--criu /usr/sbin/criu --rootless=auto checkpoint --image-path /i --parent-path ../p --page-server a:1 "
            "--manage-cgroups-mode soft --lazy-pages --status-fd 5 --pre-dump --auto-dedup ID"
        ),
        "parent-path=../p page-server=a:1 manage-cgroups-mode=soft lazy-pages pre-dump auto-dedup",
    ),
    ("--rootless true events --stats --interval=5s ID", "stats interval=5s"),
    ("list --format json -q", "format=json quiet"),
    ("exec -t -d -u 1:2 --cwd / -e A=b -c CAP_KILL --no-new-privs -p /p ID", "tty detach user=1:2 no-new-privs"),
    ("run -d -b /b --no-subreaper --pid-file /p ID", "detach bundle=/b no-subreaper"),
]


@pytest.mark.parametrize(("line", "said"), LINES, ids=[line for line, _ in LINES])
def test_options_are_known(line: str, said: str) -> None:
    before = Values(GLOBALS)
    parse(GLOBALS, shlex.split(line), into=before, mixed=False)
    name, *rest = before.arguments
    command = load(name)[0]
    after = Values(command.options)
    parse(command.options, rest, into=after, mixed=command.mixed)
    least, most = command.counts()
    assert least <= len(after.arguments) <= most
    if most:
        assert after.arguments[0] == "ID"
    given = {key: str(value) for key, value in after.given.items()}
    for word in said.split():
        key, equals, value = word.partition("=")
        assert given[key] == (value if equals else "True")
