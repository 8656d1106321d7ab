"""What is in the guest: packages, modules, units.  The image is made anew when this changes."""

from __future__ import annotations

import os
import sys

from . import arch

# The compiled module is loaded by the guest's own Python, so the two must be of one version.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
SUITE = SUITES.get(sys.version_info[:2], "")

PACKAGES = (
    "apparmor", "attr", "busybox-static", "criu", "crun", "dbus", "dbus-user-session", "iproute2", "iptables",
    "kmod", "libapparmor1", "libpam-systemd", "libseccomp2", "libselinux1", "procps", "python3", "runc", "strace",
    "systemd-container", "systemd-sysv", "tmux", "uidmap", "util-linux",
)  # fmt: skip
# Debian's suite with the kernel, where it is not the guest's: "sid" has newer ones.
KERNEL = os.environ.get("OCIRUN_VM_KERNEL", "")
# "selinux" for a guest with that module in AppArmor's place: the two do not go together in one boot.
VARIANT = os.environ.get("OCIRUN_VM_VARIANT", "")
SELINUX = VARIANT == "selinux"
if arch.FOREIGN:
    # The checkout is compiled with these headers outside, and tests of the start compile inside.
    PACKAGES += ("gcc", "libc6-dev", "python3-dev")
if SELINUX:
    PACKAGES += ("policycoreutils", "selinux-policy-default", "selinux-utils")

if not SELINUX and not arch.FOREIGN:
    # The engines, whose daemons are not started.
    PACKAGES += (
        "aardvark-dns",
        "conmon",
        "containerd",
        "docker.io",
        "fuse-overlayfs",
        "netavark",
        "podman",
        "slirp4netns",
    )
    if SUITE != "bookworm":
        PACKAGES += ("docker-cli",)

# Below kernel/ of the module tree; what a test host needs, a quarter of the whole.
MODULES = (
    "block", "crypto", "drivers/block", "drivers/char/hw_random/virtio-rng", "drivers/char/virtio_console",
    "drivers/net/dummy", "drivers/net/macvlan", "drivers/net/tun", "drivers/net/veth", "drivers/virtio",
    "fs/autofs", "fs/ext4", "fs/fuse", "fs/jbd2", "fs/mbcache", "fs/overlayfs", "lib", "net/802", "net/bridge", "net/core", "net/ipv4", "net/ipv6",
    "net/llc", "net/netfilter", "net/netlink", "net/packet", "net/sched", "net/unix",
)  # fmt: skip
# Loaded before the root file system is there.
EARLY_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "ext4")

USER = "tester"
UID = 1000
HOST_NAME = "guest"
MACHINE_ID = "0123456789abcdef0123456789abcdef"

# Slow, or of no use here; without them the guest boots in two thirds of the time.
MASKED = (
    "apparmor.service", "apt-daily-upgrade.timer", "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty@.service", "getty.target", "modprobe@.service", "serial-getty@.service",
    "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-journal-flush.service",
    "podman-auto-update.timer", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "systemd-binfmt.service",
    "systemd-pstore.service", "systemd-random-seed.service", "systemd-remount-fs.service", "systemd-sysusers.service",
    "systemd-timesyncd.service", "systemd-tmpfiles-clean.timer", "systemd-udev-settle.service",
    "systemd-udev-trigger.service", "systemd-udevd.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-update-utmp.service",
)  # fmt: skip

AGENT = "/usr/local/sbin/vm-agent"
PORT = "agent"

FILES = {
    "etc/fstab": "",
    "etc/hostname": f"{HOST_NAME}\n",
    "etc/hosts": f"127.0.0.1 localhost {HOST_NAME}\n",
    "etc/machine-id": f"{MACHINE_ID}\n",
    "etc/systemd/journald.conf.d/vm.conf": "[Journal]\nStorage=volatile\n",
    # Debian's default leaves out cpuset and io.
    "etc/systemd/system/user@.service.d/delegate.conf": "[Service]\nDelegate=cpu cpuset io memory pids\n",
    "etc/systemd/system/vm.target": (
        "[Unit]\nDescription=all that the tests need\nRequires=basic.target\n"
        f"Wants=vm-agent.service dbus.service systemd-logind.service user@{UID}.service\nAfter=basic.target\n"
        "AllowIsolate=yes\n"
    ),
    "etc/systemd/system/vm-agent.service": (
        "[Unit]\nDescription=runs commands that come from outside\nAfter=basic.target dbus.service\n"
        f"[Service]\nExecStart=/usr/bin/python3 -I {AGENT} {PORT}\nDelegate=yes\nTasksMax=infinity\nLimitNOFILE=65536\n"
        "OOMPolicy=continue\nKillMode=mixed\n"
    ),
    f"var/lib/systemd/linger/{USER}": "",
}
LINKS = {
    "etc/systemd/system/default.target": "/etc/systemd/system/vm.target",
    **{f"etc/systemd/system/{unit}": "/dev/null" for unit in MASKED},
}

COMMAND_LINE = f"console={arch.THIS.console} quiet loglevel=4 panic=-1 mitigations=off systemd.show_status=0 "
COMMAND_LINE += "lsm=lockdown,capability,yama,selinux,bpf enforcing=0" if SELINUX else "apparmor=1"

# Debian's policy has no types for containers.
POLICY = """
(type ocirun_t) (roletype system_r ocirun_t) (typeattributeset domain (ocirun_t))
(type ocirun_file_t) (roletype object_r ocirun_file_t) (typeattributeset file_type (ocirun_file_t))
"""
# In the new root, before the image is made of it; without a procfs no file gets its label.
LABEL = """
mount -t proc proc "$1/proc" && chroot "$1" semodule -n -i /etc/ocirun.cil &&
chroot "$1" setfiles -F /etc/selinux/default/contexts/files/file_contexts /
"""
if SELINUX:
    FILES |= {
        "etc/selinux/config": "SELINUX=permissive\nSELINUXTYPE=default\n",
        "etc/ocirun.cil": POLICY,
    }

# Run once before the snapshot, so that what is resumed has it in memory.
WARM_UP = """
systemctl is-system-running --wait || { systemctl --failed; exit 1; }
modprobe -a tun fuse overlay veth loop 2>&1
chmod 666 /dev/net/tun /dev/fuse
python3 -c 'import ctypes, json, subprocess, re, hashlib, socket, tempfile, xml.etree.ElementTree'
systemd-run --wait -q true
systemd-run --user -M tester@ --wait -q true
sync
"""

INIT = """#!/busybox sh
/busybox mount -t proc p /proc; /busybox mount -t sysfs s /sys; /busybox mount -t devtmpfs d /dev
for m in $(/busybox cat /order); do /busybox insmod /mods/$m; done
n=0; while [ ! -b /dev/vda ] && [ $n -lt 500 ]; do /busybox usleep 10000; n=$((n+1)); done
/busybox mount -t ext4 -o rw,noatime /dev/vda /new
for d in dev sys proc; do /busybox mount --move /$d /new/$d; done
exec /busybox switch_root /new /sbin/init
"""
