#!/bin/sh
# Proves the two commands of the README on a bare Debian 12, by hand (minutes):
#
#   tests/install/bare_debian.sh [DIRECTORY [hello|test ...]]
#
# Makes a minimal Debian tree in DIRECTORY (default: a new temporary one), with
# mmdebstrap, puts a copy of this checkout in it, and runs `./dev hello` twice
# (or `./dev` with the given words) in a mount namespace whose root is that tree.
# Needs root.  How pip finds packages is taken from the machine outside: its
# configuration is copied, local paths in it are mounted.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
tree=${1:-$(mktemp -d)/debian}
[ $# -gt 0 ] && shift
actions=${*:-hello hello}

[ "$(id -u)" = 0 ] || { echo "bare_debian.sh: must be root" >&2; exit 1; }

if [ ! -e "$tree/etc/debian_version" ]; then
	# The clock may be ahead of the archive.  stdin must not be a terminal.
	mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg bookworm "$tree" </dev/null
fi

rm -rf "$tree/src"
mkdir -p "$tree/src"
tar -C "$here" --exclude=./.git --exclude=./.venv --exclude=./build --exclude=rootfs --exclude='*.so' \
	--exclude=__pycache__ --exclude='./.*_cache' --exclude=./.hypothesis -cf - . | tar -C "$tree/src" -xf -

cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"

# pip's settings, with every local path in them moved below /outside, where it
# is mounted: Debian's own packages may want the original place.
user_conf=${HOME:-/root}/.config/pip/pip.conf
settings=$(env | grep '^PIP_[A-Z_]*=' || true)
paths=$({ echo "$settings"; cat /etc/pip.conf "$user_conf" 2>/dev/null; } |
	grep -oE '(file://)?/[A-Za-z0-9._/-]+' | sed 's#^file://##' | grep -v '^//' | sort -u)
moves=
for path in $paths; do
	[ ! -e "$path" ] || moves="$moves -e s#$path#/outside$path#g"
done
mkdir -p "$tree/root/.config/pip"
move() { if [ -n "$moves" ]; then sed $moves; else cat; fi; }
[ ! -e /etc/pip.conf ] || move </etc/pip.conf >"$tree/etc/pip.conf"
[ ! -e "$user_conf" ] || move <"$user_conf" >"$tree/root/.config/pip/pip.conf"
settings=$(echo "$settings" | move)

export tree actions paths settings
exec unshare --mount --propagation private sh -eu -c '
	mount --bind "$tree" "$tree"
	for place in proc sys dev; do mount --rbind "/$place" "$tree/$place"; done
	mount -t tmpfs tmpfs "$tree/run"
	mount -t tmpfs tmpfs "$tree/tmp"
	for path in $paths; do
		[ -e "$path" ] || continue
		# The files of a package index are often beside it.
		[ -d "$path" ] && [ "${path#/*/*/}" != "$path" ] && path=${path%/*}
		if [ -d "$path" ]; then
			mkdir -p "$tree/outside$path"
			mount --bind "$path" "$tree/outside$path"
		else
			mkdir -p "$tree/outside${path%/*}"
			cp -L "$path" "$tree/outside$path"
		fi
	done
	cd "$tree"
	mkdir -p .old
	pivot_root . .old
	umount -l /.old
	cd /src
	for action in $actions; do
		echo "=== ./dev $action" >&2
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root $settings sh ./dev "$action"
	done
'
