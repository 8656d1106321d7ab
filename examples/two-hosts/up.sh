#!/bin/sh
# Two hosts, each a network namespace with Open vSwitch and OVN; a tunnel between them; a container on each, by ocirun.
#
#   up.sh DIR     DIR must not exist; all that is made is in it
#   down.sh DIR   ends and removes all of it
#
# Needs root, ocirun, and Debian's openvswitch-switch, ovn-central, ovn-host, tcpdump, ethtool, busybox-static.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=$(realpath -m "${1:?usage: up.sh DIR}")
. "$HERE/common.sh"

die() {
	echo "up.sh: $*" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || die "needs root"
case $HERE$DIR in *[!a-zA-Z0-9/._-]*) die "$HERE or $DIR has letters that would need care in JSON" ;; esac
for program in ocirun ovsdb-server ovs-vswitchd ovn-northd ovn-controller tcpdump ethtool ip sysctl nsenter busybox; do
	command -v "$program" >/dev/null || die "$program is missing"
done
mkdir -m 700 "$DIR" || die "$DIR is there already: ./down.sh $DIR removes it"
undo() {
	status=$?
	trap - EXIT
	if [ "$status" != 0 ]; then
		[ -z "${!:-}" ] || kill "$!" 2>/dev/null || true
		"$HERE/down.sh" "$DIR"
	fi
	exit "$status"
}
trap undo EXIT
trap 'exit 1' INT TERM HUP

# 1. Two hosts and a wire.
namespace host1
namespace host2
on host1 ip link add wire type veth peer name wire netns "$DIR/host2/net"

# 2. A switch on each: Open vSwitch in userspace (datapath_type=netdev), so that the kernel needs no module for it.  The
# wire's end is a port of a bridge, and the host's address belongs to the bridge, where a userspace tunnel looks for it.
# The kernel sees the packets on the wire too: for another card, as the bridge has an address of its own; and it is to
# leave questions of ARP to the bridge.
for number in 1 2; do
	host=host$number
	on $host sysctl -qw net.ipv4.conf.wire.arp_ignore=1
	on $host ip link set wire up
	ovsdb-tool create "$DIR/$host/conf.db" /usr/share/openvswitch/vswitch.ovsschema
	start $host ovsdb-server --remote="punix:$DIR/$host/db.sock" "$DIR/$host/conf.db"
	vsctl $host --no-wait init
	start $host ovs-vswitchd "unix:$DIR/$host/db.sock"
	vsctl $host add-br br-phys -- set bridge br-phys datapath_type=netdev \
		other-config:hwaddr=02:00:00:00:00:0$number -- add-port br-phys wire
	on $host ip address add 192.168.50.$number/24 dev br-phys
	on $host ip link set br-phys up
done

# 3. The centre of OVN, on host 1: what is wanted (northbound), and what that means for the hosts (southbound).
mkdir "$DIR/centre"
ln -s ../host1/net "$DIR/centre/net"
ovsdb-tool create "$DIR/centre/nb.db" /usr/share/ovn/ovn-nb.ovsschema
ovsdb-tool create "$DIR/centre/sb.db" /usr/share/ovn/ovn-sb.ovsschema
start centre ovsdb-server --remote="punix:$DIR/centre/db.sock" --remote=ptcp:6642:192.168.50.1 \
	"$DIR/centre/nb.db" "$DIR/centre/sb.db"
start centre ovn-northd --ovnnb-db="unix:$DIR/centre/db.sock" --ovnsb-db="unix:$DIR/centre/db.sock"
nbctl init

# 4. Two networks and a router between them, which are on no host in particular.
nbctl ls-add red -- ls-add blue -- lr-add router
for net in "red 02:00:00:00:01:01 10.1.1.1/24" "blue 02:00:00:00:02:01 10.1.2.1/24"; do
	# shellcheck disable=SC2086  three words
	set -- $net
	nbctl lrp-add router "router-$1" "$2" "$3" -- lsp-add "$1" "$1-router" -- lsp-set-type "$1-router" router \
		-- lsp-set-addresses "$1-router" router -- lsp-set-options "$1-router" router-port="router-$1"
done
nbctl lsp-add red web -- lsp-set-addresses web "02:00:00:00:01:02 10.1.1.2"
nbctl lsp-add blue guest -- lsp-set-addresses guest "02:00:00:00:02:02 10.1.2.2"

# 5. Each host is told where the centre is, and where others find it: by Geneve, at its address on the wire.
for number in 1 2; do
	host=host$number
	vsctl $host set open_vswitch . external-ids:system-id=$host external-ids:ovn-remote=tcp:192.168.50.1:6642 \
		external-ids:ovn-encap-type=geneve external-ids:ovn-encap-ip=192.168.50.$number \
		external-ids:ovn-bridge-datapath-type=netdev
	start $host ovn-controller "unix:$DIR/$host/db.sock"
	of centre ovn-sbctl --db="unix:$DIR/centre/db.sock" --timeout=20 wait-until chassis $host
done

# 6. The containers, of busybox alone.
# bundle NAME NAMESPACE HOOKS ARGUMENTS: strings of JSON, without the brackets around them
bundle() {
	mkdir -p "$DIR/$1/rootfs/bin" "$DIR/$1/rootfs/www" "$DIR/$1/rootfs/proc"
	cp "$(command -v busybox)" "$DIR/$1/rootfs/bin/busybox"
	for name in sh ping wget httpd sleep; do
		ln -s busybox "$DIR/$1/rootfs/bin/$name"
	done
	cat >"$DIR/$1/config.json" <<-END
		{
		  "ociVersion": "1.0.2",
		  "hostname": "$1",
		  "root": {"path": "rootfs", "readonly": true},
		  "process": {
		    "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"], "args": [$4], "noNewPrivileges": true,
		    "capabilities": {"bounding": [$CAPS], "effective": [$CAPS], "permitted": [$CAPS]}
		  },
		  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
		  "hooks": {$3},
		  "linux": {
		    "cgroupsPath": "/two-hosts-$(basename "$DIR")-$1",
		    "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"$2}]
		  }
		}
	END
}
launch() { # HOST NAME
	on "$1" ocirun --root "$DIR/state" run --detach --bundle "$DIR/$2" "$2" </dev/null >"$DIR/$2/log" 2>&1 ||
		die "$2: $(cat "$DIR/$2/log")"
}
CAPS='"CAP_NET_BIND_SERVICE", "CAP_NET_RAW"'

# The first one joins a network namespace that is there before it, by its path.
namespace web
plug host1 "$DIR/web/net" web 02:00:00:00:01:02 10.1.1.2/24 10.1.1.1
bundle web ", \"path\": \"$DIR/web/net\"" "" '"httpd", "-f", "-p", "80", "-h", "/www"'
echo "hello through the tunnel" >"$DIR/web/rootfs/www/index.html"
launch host1 web

# The second one has a network namespace of its own, which a hook plugs in.
hook="{\"path\": \"$HERE/plug-hook.sh\", \"timeout\": 30, \"env\": [\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"],
	\"args\": [\"plug-hook.sh\", \"$DIR\", \"host2\", \"guest\", \"02:00:00:00:02:02\", \"10.1.2.2/24\", \"10.1.2.1\"]}"
bundle guest "" "\"createRuntime\": [$hook], \"poststop\": [$hook]" '"sleep", "1000000"'
launch host2 guest

# 7. Until both hosts have done what the centre asks for, and have found each other on the wire.
nbctl --wait=hv sync
for try in 1 2 3 4 5 6 7 8 9 10; do
	ocirun --root "$DIR/state" exec guest ping -c 1 -W 1 10.1.1.2 >"$DIR/guest/ping.log" 2>&1 && break
	[ "$try" != 10 ] || die "guest does not reach web: $(cat "$DIR/guest/ping.log")"
done
# What is on the wire from now on.
nsenter --net="$DIR/host1/net" -- tcpdump -i wire -U --immediate-mode -Z root -w "$DIR/wire.pcap" \
	</dev/null >"$DIR/host1/tcpdump.log" 2>&1 &
echo $! >"$DIR/host1/tcpdump.pid"
until grep -qs "listening on" "$DIR/host1/tcpdump.log"; do
	kill -0 $! 2>/dev/null || die "tcpdump: $(cat "$DIR/host1/tcpdump.log")"
	sleep 0.1
done
echo "up: web is 10.1.1.2 on host 1, guest is 10.1.2.2 on host 2; all of it is in $DIR"
