"""What `checkpoint` and `restore` may be told."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..options import Debug


class _Common:
    """What CRIU must be told both times.

    image_path           directory of the images; "" is ``checkpoint`` in the working directory
    work_path            directory of CRIU's logs and sockets; "" is the image directory
    criu                 the program; "" looks for it in PATH
    manage_cgroups_mode  ignore, none, props, soft, full or strict; "" is soft where that is safe, else ignore
    network_lock         iptables, nftables or skip: how CRIU keeps packets away; "" is its own choice
    empty_ns             CLONE_NEW flags of namespaces that are to be made, and not filled
    tcp_established, ext_unix_sk, shell_job, file_locks, link_remap, auto_dedup, lazy_pages   as in criu(8)
    """

    def __init__(
        self,
        *,
        image_path: str = "",
        work_path: str = "",
        criu: str = "",
        manage_cgroups_mode: str = "",
        network_lock: str = "",
        empty_ns: int = 0,
        tcp_established: bool = False,
        ext_unix_sk: bool = False,
        shell_job: bool = False,
        file_locks: bool = False,
        link_remap: bool = False,
        auto_dedup: bool = False,
        lazy_pages: bool = False,
    ) -> None:
        self.image_path = image_path
        self.work_path = work_path
        self.criu = criu
        self.manage_cgroups_mode = manage_cgroups_mode
        self.network_lock = network_lock
        self.empty_ns = empty_ns
        self.tcp_established = tcp_established
        self.ext_unix_sk = ext_unix_sk
        self.shell_job = shell_job
        self.file_locks = file_locks
        self.link_remap = link_remap
        self.auto_dedup = auto_dedup
        self.lazy_pages = lazy_pages


class CheckpointOptions(_Common):
    """What `checkpoint` may be told.

    leave_running        the container goes on
    pre_dump             save the memory only, and keep track of what changes; the container goes on
    parent_path          directory of an earlier pre-dump, from the image directory
    page_server          ``ADDRESS:PORT`` of a `criu page-server` that takes the memory
    status_fd            descriptor to which a zero byte is written when lazy pages can be asked for, or -1
    tcp_skip_in_flight   leave out connections that are not there yet
    """

    def __init__(
        self,
        *,
        leave_running: bool = False,
        pre_dump: bool = False,
        parent_path: str = "",
        page_server: str = "",
        status_fd: int = -1,
        tcp_skip_in_flight: bool = False,
        **common: object,
    ) -> None:
        super().__init__(**common)  # type: ignore[arg-type]
        self.leave_running = leave_running
        self.pre_dump = pre_dump
        self.parent_path = parent_path
        self.page_server = page_server
        self.status_fd = status_fd
        self.tcp_skip_in_flight = tcp_skip_in_flight


class RestoreOptions(_Common):
    """What `restore` may be told.

    bundle, console_socket, pid_file   as in CreateOptions
    rootless, cgroup_manager, systemd_cgroup, warn, debug   too
    detach              return as soon as the processes run
    tcp_close           connections come back closed
    lsm_profile         ``TYPE:NAME`` of a profile in place of the saved one
    lsm_mount_context   SELinux context of mounts in place of the saved one
    """

    def __init__(
        self,
        *,
        bundle: str = "",
        console_socket: str = "",
        pid_file: str = "",
        detach: bool = False,
        no_subreaper: bool = False,
        tcp_close: bool = False,
        lsm_profile: str = "",
        lsm_mount_context: str = "",
        rootless: str = "auto",
        cgroup_manager: str = "",
        systemd_cgroup: bool = False,
        warn: Callable[[str], None] | None = None,
        debug: Debug | None = None,
        **common: object,
    ) -> None:
        super().__init__(**common)  # type: ignore[arg-type]
        self.bundle = bundle
        self.console_socket = console_socket
        self.pid_file = pid_file
        self.detach = detach
        self.no_subreaper = no_subreaper
        self.tcp_close = tcp_close
        self.lsm_profile = lsm_profile
        self.lsm_mount_context = lsm_mount_context
        self.rootless = rootless
        self.cgroup_manager = cgroup_manager
        self.systemd_cgroup = systemd_cgroup
        self.warn = warn or _silent
        self.debug = debug


def _silent(text: str) -> None:
    """Drop a warning, as the caller takes none."""
