"""What the text of a value may look like: the patterns of the schema as functions.

``re`` is not on the start-up path (it costs more than checking a whole
config), so each pattern of ``schemas/config.schema.json`` has a function here.
A property test holds the two against each other.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def clean(text: str) -> str:
    """Return what is wrong with the characters of `text`, or "".

    A NUL would end the string in every system call; half of a surrogate pair
    has no UTF-8 form, so it could not be handed to the kernel at all.
    """
    if "\0" in text:
        return "a string without NUL characters"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "a string without lone surrogates"
    return ""


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str) -> bool:
    return _digits(text) and (text[0] != "0" or text == "0")


def _identifiers(text: str) -> bool:
    return text != "" and text.isascii() and f"0{text}".replace("-", "").replace(".", "").isalnum()


def _assignment(text: str) -> bool:
    return text.find("=") > 0


def _version(text: str) -> bool:
    text, plus, build = text.partition("+")
    text, dash, before = text.partition("-")
    parts = text.split(".")
    return (
        len(parts) == 3
        and parts[0] == "1"
        and _number(parts[1])
        and _number(parts[2])
        and (not dash or _identifiers(before))
        and (not plus or _identifiers(build))
    )


def _access(text: str) -> bool:
    return text != "" and not text.strip("rwm")


def _page_size(text: str) -> bool:
    return text[-2:] in ("KB", "MB", "GB") and _digits(text[:-2]) and text[0] != "0"


#: Form name in the tables to the test and the words for people.  "text" is left out: it has no test besides `clean`.
FORMS: dict[str, tuple[Callable[[str], bool], str]] = {
    "name": (bool, "a string that is not empty"),
    "path": (lambda text: text.startswith("/"), "an absolute path"),
    "path_or_empty": (lambda text: not text or text.startswith("/"), "an absolute path"),
    "assignment": (_assignment, "NAME=value with a name"),
    "version": (_version, 'a version of the OCI spec that starts with "1.", such as "1.3.0"'),
    "access": (_access, 'a string of the letters "r", "w" and "m"'),
    "page_size": (_page_size, "a huge page size such as 64KB, 2MB or 1GB"),
}


def numbers(text: str, *, most: int) -> str:
    """Return what is wrong with a list of CPUs or memory nodes such as ``0-3,7``, or "".

    most   the largest number allowed
    Spaces around an entry are allowed, as the kernel allows them (bitmap_parselist).
    """
    for part in text.split(","):
        low, dash, high = part.strip(" \t\n").partition("-")
        # 10 digits are more than any `most`, and keep int() from ever being slow.
        if not _digits(low) or len(low) > 10 or (dash and (not _digits(high) or len(high) > 10)):
            return "numbers and ranges such as 0-3,7"
        last = int(high) if dash else int(low)
        if int(low) > last:
            return "ranges that do not run backwards"
        if last > most:
            return f"numbers up to {most}"
    return ""
