"""Rules on ``linux.seccomp``: what actions, listeners and return values go together."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

PLACE = "/linux/seccomp"

#: Actions that return a value.
WITH_VALUE = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")

#: MAX_ERRNO of linux/err.h: a larger value would not be seen as an error by the program.
LAST_ERRNO = 4095


#: An annotation, crun's word for listenerPath.
RECEIVER = "run.oci.seccomp.receiver"


def listener(data: dict[str, Any]) -> tuple[str, str]:
    """Return the pointer and the path of the socket that gets the filter's listener; the path is "" without one."""
    path = data["linux"]["seccomp"].get("listenerPath") or ""
    receiver = (data.get("annotations") or {}).get(RECEIVER) or ""
    return (f"/annotations/{RECEIVER}", receiver) if receiver and not path else (f"{PLACE}/listenerPath", path)


def check(data: dict[str, Any], report: Report) -> None:
    """Add what is wrong with the filter."""
    if not report.sound(PLACE):
        return
    seccomp = data["linux"]["seccomp"]
    listens = bool(report.sound("/annotations") and listener(data)[1]) or bool(seccomp.get("listenerPath"))
    action = seccomp["defaultAction"]
    _value(action, seccomp, "defaultErrnoRet", f"{PLACE}/defaultErrnoRet", report)
    if action == "SCMP_ACT_NOTIFY":
        text = "would stop the runtime itself: the descriptor could not be handed over"
        report.add(f"{PLACE}/defaultAction", text, expected="another action", found=action)
    notify = -1
    for index, rule in enumerate(seccomp.get("syscalls", ())):
        pointer = f"{PLACE}/syscalls/{index}"
        _value(rule["action"], rule, "errnoRet", f"{pointer}/errnoRet", report)
        if rule["action"] == "SCMP_ACT_NOTIFY":
            notify = index if notify < 0 else notify
            if "write" in rule["names"]:
                # The runtime has to write before the listener has the descriptor.
                place = f"{pointer}/names/{rule['names'].index('write')}"
                report.add(place, "cannot be notified about", expected="any other call", found="write")
    if notify >= 0 and not listens:
        text = "needs listenerPath: nobody would answer"
        report.add(f"{PLACE}/syscalls/{notify}/action", text, expected="linux.seccomp.listenerPath")
    if seccomp.get("listenerMetadata") and not listens:
        report.add(f"{PLACE}/listenerMetadata", "needs listenerPath", expected="linux.seccomp.listenerPath")


def _value(action: str, owner: dict[str, Any], key: str, pointer: str, report: Report) -> None:
    if key not in owner:
        return
    if action not in WITH_VALUE:
        report.add(pointer, f"has no meaning for {action}", expected=" or ".join(WITH_VALUE), found=str(owner[key]))
    elif action == "SCMP_ACT_ERRNO" and owner[key] > LAST_ERRNO:
        report.wrong(pointer, f"an errno of at most {LAST_ERRNO}", owner[key])
