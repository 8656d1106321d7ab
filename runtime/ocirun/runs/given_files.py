"""Files and secrets that a run is given: what of them is in its config, and what is not."""

from __future__ import annotations

from .._base import jsonio, parameters
from ..plan.mounts import files as plans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MODE = 0o644
_MODES = 0o7777


def given(present: Mapping[str, str], files: object, secrets: object) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the annotations of a config with files and secrets, and the bytes that go with it.

    present         the annotations that it has
    files, secrets  as of `ocirun.run`; those that the config has already stay, but for those of the same name
    Raises UsageError.
    """
    made = dict(present)
    contents: dict[str, bytes] = {}
    if files:
        listed = {}
        for path, (content, mode) in _files(files).items():
            listed[path] = {"path": path, "mode": mode}
            contents[plans.file_name(path)] = content
        before = {one["path"]: one for one in jsonio.loads(present.get(plans.FILES, "[]").encode())}
        made[plans.FILES] = jsonio.dumps([*(before | listed).values()])
    if secrets:
        names = []
        for name, value in _items("secrets", secrets):
            if not plans.is_name(name):
                raise parameters.wrong(f"secrets[{name!a}]", "the name of a file", name)
            contents[plans.secret_name(name)] = parameters.content(f"secrets[{name!a}]", value)
            names.append(name)
        before_names = jsonio.loads(present.get(plans.SECRETS, "[]").encode())
        made[plans.SECRETS] = jsonio.dumps(list(dict.fromkeys([*before_names, *names])))
    return made, contents


def _files(files: object) -> dict[str, tuple[bytes, int]]:
    found = {}
    for path, value in _items("files", files):
        name = f"files[{path!a}]"
        if not plans.is_path(path):
            raise parameters.wrong(name, "an absolute path without . and .., such as /work/x", path)
        content, mode = value if isinstance(value, tuple) and len(value) == 2 else (value, _MODE)
        found[path] = parameters.content(name, content), parameters.whole(name, mode, least=0, most=_MODES)
    return found


def _items(name: str, value: object) -> list[tuple[str, object]]:
    if not hasattr(value, "items"):
        raise parameters.wrong(name, "a dict of str to bytes", value)
    return [(parameters.text(f"{name}: a name", key), content) for key, content in value.items()]
