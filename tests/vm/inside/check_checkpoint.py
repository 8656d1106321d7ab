"""checkpoint and restore on cgroup v2, with the CRIU of Debian.  Run by `test_guest`, in the guest only.

The longest way, and what only this kernel or this root can do; the others are tried on the host.
"""

from __future__ import annotations

from live.conftest import live, runtime, session
from live.test_checkpoint import saved, test_pre_dump_where_the_kernel_can, test_there_and_back

__all__ = ["live", "runtime", "saved", "session", "test_pre_dump_where_the_kernel_can", "test_there_and_back"]
