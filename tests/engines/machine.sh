#!/bin/sh
# Runs as process 1 of new mount, pid, network, ipc, uts and cgroup namespaces, and
# makes them look like a machine of its own: nothing that an engine writes reaches the
# host, and nothing that runs there is seen.  Then becomes a reaper that lives as long
# as its standard input.
#
#   machine.sh STORE OVER...
#
# STORE is a directory of the host's disk; each path OVER is covered by its namesake in it.
# OCIRUN_MACHINE_ROOT is a tree to run in place of the host's system; what is written there goes to the store,
# and /var/tmp is the host's.
set -eu
store=$1
shift

mount --make-rprivate /
if [ -n "$OCIRUN_MACHINE_ROOT" ]; then
	mkdir "$store/system" "$store/system/root" "$store/system/upper" "$store/system/work"
	mount -t overlay -o "lowerdir=$OCIRUN_MACHINE_ROOT,upperdir=$store/system/upper,workdir=$store/system/work" \
		system "$store/system/root"
	cd "$store/system/root"
	mount --bind /var/tmp var/tmp
	mount --rbind /dev dev
	mount -t proc proc proc
	pivot_root . mnt
	umount --lazy /mnt
	for covered in "$@"; do
		[ -e "$covered" ] || mkdir -p "$covered"
	done
else
	mount -t proc proc /proc
	umount --recursive --lazy /sys
fi
# As on a machine started by systemd, where every mount is shared.
mount --make-rshared /
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock

# The cgroups of the host, from our own downward.
group() {
	mkdir -p "/sys/fs/cgroup/$1"
	mount -t cgroup -o "$2" cgroup "/sys/fs/cgroup/$1"
}
if [ "${OCIRUN_MACHINE_CGROUPS:-}" = v2 ] || ! grep -qv '^0::' /proc/self/cgroup; then
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir /sys/fs/cgroup/init
	echo 1 >/sys/fs/cgroup/init/cgroup.procs
	for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
		# One that the host cannot hand on is left out, as on a machine without it.
		{ echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null || :
	done
else
	mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
	while IFS=: read -r _ controllers _; do
		case $controllers in
		'') mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
		name=*) group "${controllers#name=}" "none,$controllers" ;;
		*)
			group "$controllers" "$controllers"
			for one in $(echo "$controllers" | tr , ' '); do
				[ -e "/sys/fs/cgroup/$one" ] || ln -s "$controllers" "/sys/fs/cgroup/$one"
			done
			;;
		esac
	done </proc/self/cgroup
fi

for covered in "$@"; do
	mount --bind "$store$covered" "$covered"
done
ip link set lo up
hostname "$OCIRUN_MACHINE_NAME"
unset OCIRUN_MACHINE_NAME OCIRUN_MACHINE_CGROUPS OCIRUN_MACHINE_ROOT
echo ready
exec python3 -I -S -c '
import os, select, signal
signal.signal(signal.SIGCHLD, lambda *_: None)
wake, woken = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(woken)
while True:
    ready = select.select([0, wake], [], [])[0]
    if wake in ready:
        os.read(wake, 4096)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    if 0 in ready and not os.read(0, 1):
        break
'
