"""What to write so that a v1 file says again what it said before.  Pure."""

from __future__ import annotations

from ..usage.v1 import number
from .translation import Setting

# Files with a line for each device or interface; what a line that is not there stands for.
_KEYED = {
    "blkio.throttle.read_bps_device": "0",
    "blkio.throttle.write_bps_device": "0",
    "blkio.throttle.read_iops_device": "0",
    "blkio.throttle.write_iops_device": "0",
    "blkio.weight_device": "0",
    "blkio.leaf_weight_device": "0",
    "blkio.bfq.weight_device": "default",
    "net_prio.ifpriomap": "0",
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "rdma.max": "hca_handle=max hca_object=max",
}


def previous(setting: Setting, text: str) -> Setting:
    """Return the setting that undoes `setting`.

    text   what the file said before it was written
    """
    value = text
    if setting.file == "memory.oom_control":
        value = str(number(text, "oom_kill_disable") or 0)
    elif setting.file in _KEYED:
        # A weight alone is that of all devices without one of their own.
        key = setting.value.partition(" ")[0] if " " in setting.value else "default"
        lines = [line for line in text.split("\n") if line.partition(" ")[0] == key]
        value = lines[0] if lines else f"{key} {_KEYED[setting.file]}"
    # An empty list: a write of no bytes would be none.
    return Setting(setting.controller, setting.file, value or "\n", setting.pointer)
