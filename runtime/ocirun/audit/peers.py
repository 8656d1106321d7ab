"""What runc and crun make of a config where they differ from the spec or from each other.

Each note tells what runc 1.1.5 and crun 1.8.1 did when they were run with such
a config; `tests/check/test_peers_live.py` runs them again.  Other versions may
differ.  A note is no judgement on the config: many belong to an error that
ocirun reports, and say how the config could live without it being noticed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..errors import Problem

SEEN_WITH = "runc 1.1.5 and crun 1.8.1"

#: A word of JSON parsers' complaints to what the other two do.
PARSING = (
    ("given twice", "runc takes the value that comes last, crun the one that comes first"),
    ("text after the end", "runc stops reading at the end of the document; crun refuses, unless it is a comment"),
)

#: What the walk expected, to what becomes of a value of another JSON type.
_TYPES = (
    ("an integer", "crun takes it for 0, runc refuses it"),
    ("true or false", "crun takes it for false, runc refuses it"),
    ("an array", "crun goes on as if it were not there, runc refuses it"),
)

#: What crun hands to the file system, which refuses it.
_CRUN_UNKNOWN = ("nosymfollow", "symfollow", "iversion", "noiversion", "silent", "loud")
_PROPAGATION = ("shared", "slave", "private", "unbindable")
_OPPOSITES = (("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev"))


def notes(data: object, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Yield (pointer, note) for each place of `data` that has one.

    data       config.json as parsed, whatever it holds
    problems   what config.check found in it, unknown keys included
    """
    for problem in problems:
        yield from _on_problem(problem)
    if not isinstance(data, dict):
        return
    yield from _on_top(data)
    yield from _on_process(data.get("process"))
    for index, mount in enumerate(_list(data.get("mounts"))):
        yield from _on_mount(mount, f"/mounts/{index}")
    yield from _on_linux(data.get("linux"))
    hooks = data.get("hooks")
    if isinstance(hooks, dict):
        for kind, entries in hooks.items():
            for index, hook in enumerate(_list(entries)):
                if isinstance(hook, dict) and type(hook.get("timeout")) is int and hook["timeout"] == 0:
                    place = f"/hooks/{kind}/{index}/timeout"
                    yield place, "runc ends the hook at once, crun lets it run without a limit"


def on_text(reason: str) -> Iterator[tuple[str, str]]:
    """Yield the note on a file that is not JSON; `reason` is that of JsonError."""
    for words, note in PARSING:
        if words in reason:
            yield "", note


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[tuple[int, str]]:
    return [(index, item) for index, item in enumerate(_list(value)) if isinstance(item, str)]


def _on_problem(problem: Problem) -> Iterator[tuple[str, str]]:
    """Yield what was found wrong, and passes elsewhere."""
    message, pointer = problem.message, problem.pointer
    if "is not a key of the spec" in message and problem.expected:
        key = problem.expected
        text = f"runc reads it as {key}, and if {key} is there too, the one that comes last counts; crun ignores it"
        yield pointer, text
    if "without NUL" in problem.expected:
        yield pointer, "crun ends the text at the NUL character, runc refuses it"
    if message.endswith(("not null",)) and problem.expected.startswith("an integer"):
        yield pointer, "runc and crun take it for 0"
    else:
        for expected, note in _TYPES:
            other = (" the string ", " true", " false", " an object", " an array")
            wrong = ("not" + word for word in other) if expected != "true or false" else (", not ",)
            if problem.expected.startswith(expected) and any(word in message for word in wrong):
                yield pointer, note
    if "is set by entry" in message and pointer.startswith("/process/rlimits/"):
        yield pointer, "runc and crun take the entry that comes last"
    if "is given by entry" in message and pointer.startswith("/linux/namespaces/"):
        yield pointer, "crun accepts it, runc refuses it"
    if "NAME=value" in problem.expected and "the string" in message:
        yield pointer, "crun accepts it, runc refuses it"
    if problem.expected == "an absolute path" and "the string" in message:
        if pointer == "/process/cwd":
            yield pointer, "crun takes it as relative to /, runc refuses it"
        elif pointer.startswith(("/linux/maskedPaths/", "/linux/readonlyPaths/")):
            yield pointer, "runc and crun take it as relative to /"
    if pointer == "/linux/seccomp/defaultErrnoRet" and "no meaning" in message:
        yield pointer, "runc ignores it, crun refuses it"
    if pointer == "/linux/seccomp/listenerMetadata" and "needs listenerPath" in message:
        yield pointer, "runc and crun accept it"
    if pointer == "/linux/rootfsPropagation" and "the string" in message:
        yield pointer, "crun accepts any word, runc refuses it"
    if pointer == "/process/user/umask" and "the number" in message:
        yield pointer, "runc and crun use the lowest nine bits"
    if pointer == "/ociVersion":
        yield pointer, "runc does not look at it, crun refuses it"


def _on_top(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if data.get("linux") is None:
        yield "/linux", "crun refuses a config without linux"
    if data.get("mounts") is None:
        yield "/mounts", "crun refuses a config without mounts; runc needs a /proc in the container"
    if data.get("domainname"):
        yield "/domainname", "runc ignores it"


def _on_process(process: object) -> Iterator[tuple[str, str]]:
    if not isinstance(process, dict):
        return
    for index, entry in _texts(process.get("env")):
        if entry == "HOME=":
            text = "crun leaves HOME empty; runc and ocirun set it from /etc/passwd of the container"
            yield f"/process/env/{index}", text
    sets = process.get("capabilities")
    if not isinstance(sets, dict):
        return
    for kind, names in sets.items():
        for index, name in _texts(names):
            if name.startswith("cap_"):
                text = f"crun takes it for {name.upper()}; runc and ocirun ignore it with a warning"
                yield f"/process/capabilities/{kind}/{index}", text


def _on_mount(mount: object, pointer: str) -> Iterator[tuple[str, str]]:
    if not isinstance(mount, dict):
        return
    words = [word for _, word in _texts(mount.get("options"))]
    bind = "bind" in words or "rbind" in words
    for index, word in _texts(mount.get("options")):
        place = f"{pointer}/options/{index}"
        if word in _CRUN_UNKNOWN and not bind:
            yield place, f"crun does not know {word} and hands it to the file system, which may refuse it"
        if word == "rnosymfollow":
            yield place, "crun ignores it"
        if word.removeprefix("r") in _PROPAGATION and word not in ("private", "rprivate"):
            yield place, "crun leaves the mount private"
        for first, second in _OPPOSITES:
            if word == second and first in words[:index]:
                yield place, f"crun does not let it undo the {first} before it"
    if bind and any(_is_data(word) for word in words):
        yield f"{pointer}/options", "runc and crun ignore file system data on a bind mount"


def _is_data(word: str) -> bool:
    from ..plan.mounts.words import KNOWN_OPTIONS

    return word not in KNOWN_OPTIONS and not word.startswith("idmap=")


def _on_linux(linux: object) -> Iterator[tuple[str, str]]:
    if not isinstance(linux, dict):
        return
    for index, entry in enumerate(_list(linux.get("namespaces"))):
        if isinstance(entry, dict) and entry.get("path") == "":
            text = "crun tries to open the empty path and fails; for runc and ocirun it is a new namespace"
            yield f"/linux/namespaces/{index}/path", text
    resources = linux.get("resources")
    pids = resources.get("pids") if isinstance(resources, dict) else None
    limit = pids.get("limit") if isinstance(pids, dict) else None
    if type(limit) is int and limit == 0:
        text = "ocirun keeps the 0, as the spec says, so the program can start no other; runc and crun set no limit"
        yield "/linux/resources/pids/limit", text
