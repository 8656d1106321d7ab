"""What a key that the spec does not have was probably meant to be."""

from __future__ import annotations

from ..config._tables import LIST, MAP, OBJECT, SPEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config._types import Node


def hint(pointer: str) -> str:
    """Return the words that help with the unknown key at `pointer`, or "".

    Three mistakes are common: another case, a slip of the finger, and the
    right key in the wrong object.
    """
    owner, _, key = pointer.rpartition("/")
    keys = _keys(owner)
    same = [name for name in keys if name.lower() == key.lower()]
    if same:
        return f"did you mean {same[0]}? Upper and lower case differ"
    places = [place for place in _places(SPEC, "") if place.rpartition("/")[2] == key]
    if len(places) == 1:
        return f"the spec has it in {places[0]}"
    import difflib

    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else ""


def _keys(pointer: str) -> list[str]:
    """Return the keys that the spec has for the object at `pointer`."""
    node: Node = SPEC
    for token in pointer.split("/")[1:]:
        kind = node[0]
        if kind == OBJECT:
            if token not in node[1]:
                return []
            node = node[1][token]
        elif kind in (LIST, MAP):
            node = node[1]
        else:
            return []
    return list(node[1]) if node[0] == OBJECT else []


def _places(node: Node, pointer: str) -> Iterator[str]:
    """Yield the pointers of all keys of the spec, ``*`` for the entries of arrays and maps."""
    if node[0] == OBJECT:
        for key, inner in node[1].items():
            yield f"{pointer}/{key}"
            yield from _places(inner, f"{pointer}/{key}")
    elif node[0] in (LIST, MAP):
        yield from _places(node[1], f"{pointer}/*")
