"""One finding of the audit, and the list of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..errors import Problem

ERROR = "error"
WARNING = "warning"
NOTE = "note"

CONFIG = "config"
MOUNTS = "mount options"
HOST = "this host"
PEERS = "other runtimes"
SCHEMA = "second opinion"


class Finding:
    """One thing to say about a config.

    severity  ERROR: `create` refuses it; WARNING: it is not what it seems; NOTE: worth knowing
    source    CONFIG: the spec; MOUNTS; HOST: this host or this version; PEERS; SCHEMA
    pointer, message, expected, found   as of errors.Problem
    """

    __slots__ = ("expected", "found", "message", "pointer", "severity", "source")

    def __init__(
        self, severity: str, source: str, pointer: str, message: str, *, expected: str = "", found: str = ""
    ) -> None:
        self.severity = severity
        self.source = source
        self.pointer = pointer
        self.message = message
        self.expected = expected
        self.found = found

    @classmethod
    def of(cls, problem: Problem, source: str) -> Finding:
        """Return the finding that a Problem comes to."""
        severity = WARNING if problem.warning else ERROR
        return cls(severity, source, problem.pointer, problem.message, expected=problem.expected, found=problem.found)

    def record(self) -> dict[str, str]:
        """Return the finding as plain values, for JSON."""
        return {name: getattr(self, name) for name in ("severity", "source", "pointer", "message", "expected", "found")}

    def __repr__(self) -> str:
        return f"Finding({self.severity}, {self.source}, {self.pointer}: {self.message})"


class Audit:
    """The findings on one config.

    path        where the config is from
    findings    errors first, then warnings, then notes; each group in the order of the checks
    host_asked  this host was looked at, which is left out for a config that has errors in itself
    """

    __slots__ = ("findings", "host_asked", "path")

    def __init__(self, path: str, findings: list[Finding], *, host_asked: bool = False) -> None:
        self.path = path
        self.host_asked = host_asked
        order = (ERROR, WARNING, NOTE)
        self.findings = sorted(findings, key=lambda finding: order.index(finding.severity))

    def count(self, severity: str) -> int:
        """Return the number of findings of one severity."""
        return sum(1 for finding in self.findings if finding.severity == severity)

    def strict(self) -> None:
        """Make errors of the warnings."""
        for finding in self.findings:
            if finding.severity == WARNING:
                finding.severity = ERROR

    def record(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "path": self.path,
            "valid": not self.count(ERROR),
            "hostAsked": self.host_asked,
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "notes": self.count(NOTE),
            "findings": [finding.record() for finding in self.findings],
        }
