"""The platform that an image is for, as image-spec and Go name it."""

from __future__ import annotations

import os

from ..errors import UsageError, option

# The kernel's names for machines, and Go's.
_MACHINES = {
    "x86_64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", "v8"),
    "armv8l": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "loongarch64": ("loong64", ""),
}


class Platform:
    """An operating system, an architecture, and perhaps a variant of it.

    os, architecture, variant   words such as linux, arm64, v8; variant "" for none
    """

    __slots__ = ("architecture", "os", "variant")

    def __init__(self, os: str, architecture: str, variant: str = "") -> None:
        self.os = os
        self.architecture = architecture
        self.variant = variant

    @classmethod
    def here(cls) -> Platform:
        """Return that of this machine."""
        machine = os.uname().machine
        return cls("linux", *_MACHINES.get(machine, (machine, "")))

    @classmethod
    def read(cls, text: str) -> Platform:
        """Read a text such as ``linux/arm64/v8``; "" is this machine's.  Raises UsageError.

        As in containerd, case does not count, and the kernel's names for machines are taken too.
        """
        if not text:
            return cls.here()
        words = text.lower().split("/")
        if len(words) == 2 and words[1] in _MACHINES:
            words[1:] = filter(None, _MACHINES[words[1]])
        if not 2 <= len(words) <= 3 or not all(words):
            raise UsageError(f'{option("platform")}: "{text}" is not OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT')
        if words[0] != "linux":
            raise UsageError(f'{option("platform")}: "{text}": only images for linux can be used')
        return cls(*words)

    def rank(self, os: object, architecture: object, variant: object) -> int:
        """Tell how well something for a platform fits: 0 not at all, more is better."""
        if (os, architecture) != (self.os, self.architecture):
            return 0
        theirs, ours = self._plain(variant), self._plain(self.variant)
        if theirs == ours:
            return 3
        # Variants are v5, v6, v7: a newer machine runs what is for an older one, and what does not say.
        if not theirs:
            return 2
        return 1 if ours and isinstance(variant, str) and theirs < ours else 0

    def _plain(self, variant: object) -> str:
        text = variant if isinstance(variant, str) else ""
        return "" if (self.architecture, text) in (("arm64", "v8"), ("amd64", "v1")) else text

    def __str__(self) -> str:
        return "/".join(word for word in (self.os, self.architecture, self.variant) if word)
