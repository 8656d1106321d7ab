"""Signal numbers of Linux by name, without the module ``signal`` and its enums.

The numbers are those of signal(7) for x86-64 and arm64, which agree.
"""

from __future__ import annotations

from ocirun.errors import UsageError

NUMBERS = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "ILL": 4,
    "TRAP": 5,
    "ABRT": 6,
    "IOT": 6,
    "BUS": 7,
    "FPE": 8,
    "KILL": 9,
    "USR1": 10,
    "SEGV": 11,
    "USR2": 12,
    "PIPE": 13,
    "ALRM": 14,
    "TERM": 15,
    "STKFLT": 16,
    "CHLD": 17,
    "CLD": 17,
    "CONT": 18,
    "STOP": 19,
    "TSTP": 20,
    "TTIN": 21,
    "TTOU": 22,
    "URG": 23,
    "XCPU": 24,
    "XFSZ": 25,
    "VTALRM": 26,
    "PROF": 27,
    "WINCH": 28,
    "IO": 29,
    "POLL": 29,
    "PWR": 30,
    "SYS": 31,
}
"""Names without "SIG"; a second name of a number comes after the usual one."""

RTMIN = 34
"""The first real-time signal that programs can use: glibc keeps 32 and 33 for its threads."""

RTMAX = 64
"""The last signal of Linux."""


def parse(text: str) -> int:
    """Return the number of the signal that `text` names.

    text   a name with or without "SIG" in any case, ``RTMIN+n``, ``RTMAX-n``
           or a number from 0 to 64; 0 only asks whether the process is there,
           see kill(2)
    Raises UsageError with the words of runc, `unknown signal "x"`.
    """
    # Only ASCII: upper() makes an S of the long s, U+017F.
    if text.isascii():
        if text.isdigit() and len(text) <= 3 and int(text) <= RTMAX:
            return int(text)
        name = text.upper().removeprefix("SIG")
        number = NUMBERS.get(name) or _real_time(name)
        if number:
            return number
    from ocirun._base.near import did_you_mean

    name = text.upper().removeprefix("SIG")
    raise UsageError(f'unknown signal "{text}"', remedy=did_you_mean(name, NUMBERS, "SIG" * (len(name) < len(text))))


STOP_SIGNAL = "org.opencontainers.image.stopSignal"
"""The annotation that names the signal an image wants to be ended with (runtime-spec config.md, Annotations)."""


def of_image(annotations: dict[str, str]) -> int:
    """Return the signal that ends a container whose caller names none: that of its image, else SIGTERM.

    Raises UsageError for an annotation that names no signal.
    """
    text = annotations.get(STOP_SIGNAL, "TERM")
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(
            f"{error.message}, which the annotation {STOP_SIGNAL} names",
            remedy="name the signal on the command line: `kill ID SIGNAL`",
        ) from None


def _real_time(name: str) -> int:
    start, sign, distance = name[:5], name[5:6], name[6:]
    if not sign:
        return {"RTMIN": RTMIN, "RTMAX": RTMAX}.get(start, 0)
    if not distance.isdigit() or len(distance) > 2 or int(distance) > RTMAX - RTMIN:
        return 0
    if start == "RTMIN" and sign == "+":
        return RTMIN + int(distance)
    if start == "RTMAX" and sign == "-":
        return RTMAX - int(distance)
    return 0


def name(number: int) -> str:
    """Return the name of a signal with "SIG", such as ``SIGTERM`` or ``SIGRTMIN+2``; ``signal 99`` when it has none."""
    for known, value in NUMBERS.items():
        if value == number:
            return f"SIG{known}"
    if number == RTMIN:
        return "SIGRTMIN"
    if number == RTMAX:
        return "SIGRTMAX"
    if RTMIN < number < RTMAX:
        return f"SIGRTMIN+{number - RTMIN}"
    return f"signal {number}"
