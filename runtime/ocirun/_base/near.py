"""The word that was probably meant.  For error texts only: it is slow."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH_MAX = 64


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that `word` was probably meant to be, "" for none.

    A third of the letters may be wrong, and two of them at most; case and what `word` leaves out in front, as
    in ``kill`` for ``CAP_KILL``, do not count.
    """
    if len(word) > _LENGTH_MAX:
        return ""
    words = sorted(known)
    plain = word.upper()
    for one in words:
        if one.upper() == plain and one != word:
            return one
    if len(word) > 2:
        for one in words:
            if one.upper().endswith(f"_{plain}"):
                return one
    limit = min(2, len(word) // 3)
    if not limit or not words:
        return ""
    best = min(words, key=lambda one: (distance(word, one), one))
    return best if distance(word, best) <= limit and best != word else ""


def did_you_mean(word: str, known: Iterable[str], before: str = "") -> str:
    """Return ``did you mean "nosuid"?``, or "" where no known word is near.

    before   what stands before the word, such as the dashes of an option
    """
    found = nearest(word, known)
    return f'did you mean "{before}{found}"?' if found else ""


def distance(left: str, right: str) -> int:
    """Count the edits between two words, a swap of neighbours as one."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        now = [i]
        for j, b in enumerate(right, 1):
            cost = min(row[j] + 1, now[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and b == left[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            now.append(cost)
        before, row = row, now
    return row[-1]
