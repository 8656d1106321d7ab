#!/bin/sh
# End and remove what up.sh has made.
#
#   down.sh DIR
#
# A process is ended if its pid file is in DIR and DIR is in its command line: a pid may belong to somebody else by now.
# DIR goes last, when nothing of it is left.
set -eu
DIR=$(realpath -m "${1:?usage: down.sh DIR}")
[ -d "$DIR" ] || exit 0
# Nothing else is removed, be it by a mistake in the name.
[ -d "$DIR/host1" ] || rmdir "$DIR"
[ -d "$DIR" ] || exit 0

# is_ours PID
is_ours() {
	grep -qsF "$DIR/" "/proc/$1/cmdline"
}

# end PIDFILE
end() {
	pid=$(cat "$1")
	for try in $(seq 100); do
		is_ours "$pid" || return 0
		[ "$try" != 1 ] || kill "$pid" || return 0
		[ "$try" != 50 ] || kill -KILL "$pid" || return 0
		sleep 0.1
	done
	echo "down.sh: process $pid of $1 does not end" >&2
	left=$1
}

# What cannot be removed does not keep the rest from it.
left=
for container in guest web; do
	if [ -e "$DIR/state/$container" ]; then
		ocirun --root "$DIR/state" delete --force "$container" || left=$container
	fi
done
for program in ovn-controller ovn-northd ovs-vswitchd ovsdb-server tcpdump; do
	for file in "$DIR"/*/"$program.pid"; do
		[ ! -e "$file" ] || end "$file"
	done
done
for file in "$DIR"/*/net; do
	while mountpoint -q "$file"; do
		umount "$file" || { left=$file && break; }
	done
done
[ -z "$left" ] || exit 1
rm -r --one-file-system "$DIR"
