"""config.load: what is opened, what is refused, and the one line that says so."""

from __future__ import annotations

import copy
import errno
import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from config.samples import changed, docker, minimal
from ocirun._base import searching
from ocirun.config import check
from ocirun.config import load as module
from ocirun.config.load import from_bytes, load, read
from ocirun.errors import ConfigError, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

GOOD = json.dumps(minimal()).encode()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_bytes(GOOD)
    return tmp_path


def refused(raw: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        from_bytes(raw, bundle="/b", path="/b/config.json")
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_good_bundle(bundle: Path) -> None:
    config = load(str(bundle))
    assert config.data == minimal()
    assert config.raw == GOOD
    assert config.path == f"{bundle}/config.json"
    assert config.bundle == str(bundle)
    assert config.warnings == []


def test_a_relative_bundle_and_another_name(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle / "other.json").write_bytes(GOOD)
    monkeypatch.chdir(bundle.parent)
    assert load(f"./{bundle.name}/", config_name="other.json").path == f"{bundle}/other.json"
    monkeypatch.chdir(bundle)
    assert load("").bundle == str(bundle)


def test_raw_loads_again(bundle: Path) -> None:
    first = load(str(bundle))
    again = from_bytes(first.raw, bundle=first.bundle, path=first.path)
    assert (again.data, again.raw) == (first.data, first.raw)


def test_warnings_are_kept() -> None:
    raw = json.dumps(changed(minimal(), {"/mounts": [{"destination": "a"}]})).encode()
    assert [problem.pointer for problem in from_bytes(raw, bundle="/b", path="/b/c").warnings] == [
        "/mounts/0/destination"
    ]


def test_optional_nulls_are_gone_and_unknown_keys_are_not() -> None:
    raw = json.dumps(changed(minimal(), {"/hostname": None, "/linux/seccomp": None, "/x": None, "/y": {"z": None}}))
    data: Any = from_bytes(raw.encode(), bundle="/b", path="/b/c").data
    assert data == changed(minimal(), {"/x": None, "/y": {"z": None}})


def test_all_problems_are_in_the_error() -> None:
    error = refused(json.dumps(changed(docker(), {"/process/cwd": "x", "/process/user/uid": "0"})).encode())
    assert [problem.pointer for problem in error.problems] == ["/process/user/uid", "/process/cwd"]
    assert error.pointer == "/process/user/uid"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "line 1 column 1"),
        (b" \n", "empty"),
        (b'{\n "a": nul}', "line 2 column 7"),
        (b'{"a": 1,\n\n  "b": }', "line 3 column 8"),
        (b'{"a": 1} x', "line 1 column 10: text after the end"),
        (b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
        (b'{"a": NaN}', "NaN is not a JSON value"),
        (b"// comment\n{}", "line 1 column 1"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "is not valid UTF-8"),
        (b'{\n"a": "\xff"}', "line 2 column 7: is not valid UTF-8"),
        (b'{"a": "\x00"}', "line 1 column 8"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number that is too long"),
        (b"null", "must be an object, not null"),
        (b"[]", "must be an object, not an array that is empty"),
        (b'"x"', 'must be an object, not the string "x"'),
        (b"{}", "/ociVersion: is required"),
    ],
)
def test_bytes_that_are_no_config(raw: bytes, words: str) -> None:
    error = refused(raw)
    assert str(error).startswith("/b/config.json: ")
    assert words in str(error)


def test_escapes_do_not_get_past_the_check() -> None:
    text = json.dumps(changed(minimal(), {"/process/args/0": "PROGRAM"}))
    assert refused(text.replace("PROGRAM", "a\\u0000b").encode()).pointer == "/process/args/0"
    assert refused(text.replace("PROGRAM", "\\ud800").encode()).pointer == "/process/args/0"
    assert refused(text.replace("PROGRAM", "\\udc00\\ud800").encode()).pointer == "/process/args/0"
    data = from_bytes(text.replace("PROGRAM", "\\ud83d\\ude00").encode(), bundle="/b", path="/b/c").data
    assert data["process"]["args"] == ["\U0001f600"]


def test_no_bundle_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        load(str(tmp_path / "none"))
    assert caught.value.message == f"bundle {tmp_path}/none: no such file or directory"
    assert "`ocirun bundle IMAGE DIR` makes a bundle of an image" in caught.value.remedy
    with pytest.raises(HostError) as caught:
        load(str(tmp_path))
    assert caught.value.message == f"open {tmp_path}/config.json: no such file or directory"
    assert 'bundle="DIR" names another bundle' in caught.value.remedy
    assert "`ocirun bundle IMAGE DIR` makes a bundle of an image, see docs/bundles.md" in caught.value.remedy
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as caught:
        load(str(tmp_path / "file"))
    assert caught.value.message == f"bundle {tmp_path}/file: not a directory"
    assert "name the directory that holds it" in caught.value.remedy


def test_a_bundle_with_a_nul() -> None:
    with pytest.raises(HostError, match="NUL"):
        load("a\0b")


def test_a_current_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        "import os, sys\nfrom ocirun.config.load import load\nfrom ocirun.errors import HostError\n"
        "os.rmdir(os.getcwd())\ntry:\n    load('')\nexcept HostError as error:\n    print(error)\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=gone, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "getcwd: no such file or directory\n"


@pytest.mark.parametrize("kind", ["directory", "FIFO", "socket", "character device"])
def test_other_kinds_of_files(open_directory: Path, kind: str) -> None:
    path = open_directory / "config.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "character device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises((ConfigError, HostError)) as caught:
        load(str(open_directory))
    # A socket cannot be opened at all.
    words = "no such device or address" if kind == "socket" else f"is a {kind}, not a regular file"
    assert words in str(caught.value)


@pytest.mark.parametrize(("call", "errno"), [("open", errno.EACCES), ("read", errno.EIO)])
def test_a_call_that_fails(bundle: Path, monkeypatch: pytest.MonkeyPatch, call: str, errno: int) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno, "")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(HostError) as caught:
        load(str(bundle))
    assert (caught.value.call, caught.value.errno) == (call, errno)
    assert str(caught.value).startswith(f"{call} {bundle}/config.json: ")


def test_size_limit(bundle: Path) -> None:
    path = bundle / "config.json"
    padded = GOOD + b" " * (module.SIZE_LIMIT - len(GOOD))
    path.write_bytes(padded)
    assert load(str(bundle)).raw == padded
    path.write_bytes(padded + b" ")
    with pytest.raises(ConfigError, match=r"has 16777217 bytes or more, the limit is 16777216 \(16 MiB\)"):
        load(str(bundle))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="has 1099511627776 bytes"):
        load(str(bundle))
    refused(padded + b" ")


def test_size_limit_of_a_file_that_does_not_tell_its_size(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files of procfs have size 0, and any file may grow after fstat.
    assert read("/proc/self/status").startswith(b"Name:")
    monkeypatch.setattr(module, "SIZE_LIMIT", 10)
    with pytest.raises(ConfigError, match="the limit is 10"):
        read("/proc/self/status")


def test_no_descriptor_is_left_open(bundle: Path) -> None:
    before = os.listdir("/proc/self/fd")
    load(str(bundle))
    (bundle / "config.json").unlink()
    (bundle / "config.json").mkdir()
    with pytest.raises(ConfigError):
        load(str(bundle))
    assert os.listdir("/proc/self/fd") == before


def test_nothing_slow_is_imported(bundle: Path) -> None:
    (bundle / "config.json").write_text(json.dumps(docker()))
    code = "import sys\nfrom ocirun.config.load import load\nload(sys.argv[1])\nprint(*sys.modules)\n"
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("runtime"))}
    result = subprocess.run(
        [sys.executable, "-S", "-c", code, str(bundle)], env=environment, capture_output=True, text=True, check=True
    )
    slow = {"re", "json", "typing", "enum", "collections", "functools", "contextlib", "pathlib", "dataclasses"}
    assert slow & set(result.stdout.split()) == set()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("process/args", []),
        ("process/args", [""]),
        ("process/args", ["a", 5]),
        ("process/args", ["ok"]),
        ("process/env", ["A=1", "n\0ul"]),
        ("process/cwd", "relative"),
        ("mounts", [{"destination": "x"}, {"source": 5}, {"destination": None}]),
        ("linux/resources", {"pids": {"limit": "many"}}),
        ("linux/resources", {"cpu": {"quota": 5, "burst": 7}}),
        ("linux/resources", {"memory": None}),
    ],
)
def test_parts_are_checked_as_the_whole_is(part: str, value: object) -> None:
    """What is exchanged in a checked config has the problems, and the nulls, that a check of all would find."""
    base = from_bytes(json.dumps(docker()).encode(), bundle="/b", path="config.json")
    new = copy.deepcopy(dict(base.data))
    owner: Any = new
    *above, key = part.split("/")
    for name in above:
        owner = owner.setdefault(name, {})
    owner[key] = value
    whole, parts = copy.deepcopy(new), copy.deepcopy(new)
    expected = check.checked(whole)
    assert [one.record() for one in check.checked_parts(parts, [part])] == [one.record() for one in expected]
    assert parts == whole
    if any(not one.warning for one in expected):
        with pytest.raises(ConfigError) as caught:
            module.with_parts(base, new, [part])
        assert caught.value.pointer.startswith(f"/{part}")
    else:
        again = module.with_parts(base, new, [part])
        assert (json.loads(again.raw), again.bundle) == (whole, "/b")


def test_values_without_json_form() -> None:
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        module.from_values({"process": {"args": [b"bytes"]}}, bundle="/b", path="config")


def test_a_directory_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named: of a long path a reader would have to look at each."""
    inner = tmp_path / "closed" / "bundle"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert searching.closed("/nosuch/of/it") == searching.closed("/") == ""
    assert " is closed: " in searching.closed(f"{inner}/config.json"), "to others"
    monkeypatch.setattr(searching, "_is_open", lambda place: not place.endswith("closed"))
    told = searching.closed(f"{inner}/config.json")
    assert told == f"{tmp_path}/closed is closed: it belongs to uid {os.geteuid()}, with mode 0700"
