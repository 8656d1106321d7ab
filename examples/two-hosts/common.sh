# What the scripts of this folder have in common; DIR is set by then.

# The programs of a host, or of the centre, keep all that is theirs in one directory: databases, sockets, logs, pid
# files.
# of PLACE COMMAND...: runs a command that finds those of DIR/PLACE
of() {
	place=$1
	shift
	OVS_RUNDIR=$DIR/$place OVS_DBDIR=$DIR/$place OVS_LOGDIR=$DIR/$place OVN_RUNDIR=$DIR/$place "$@"
}

# on HOST COMMAND...: runs a command in the network namespace of a host, with its directory
on() {
	host=$1
	shift
	of "$host" nsenter --net="$DIR/$host/net" -- "$@"
}

# vsctl HOST ARGUMENTS...: changes the switch of a host, and waits until it has done what is asked for
vsctl() {
	host=$1
	shift
	of "$host" ovs-vsctl --db="unix:$DIR/$host/db.sock" --timeout=10 "$@"
}

nbctl() {
	of centre ovn-nbctl --db="unix:$DIR/centre/db.sock" --timeout=20 "$@"
}

# namespace PLACE: a network namespace that stays as long as its file is mounted
namespace() {
	mkdir -p "$DIR/$1"
	: >"$DIR/$1/net"
	unshare --net="$DIR/$1/net" -- ip link set lo up
}

# start PLACE PROGRAM ARGUMENTS...: a program in the background, with pid file and log in DIR/PLACE
start() {
	place=$1 program=$2
	shift 2
	on "$place" "$program" -vconsole:off -vsyslog:off --detach --no-chdir --pidfile="$DIR/$place/$program.pid" \
		--log-file="$DIR/$place/$program.log" "$@"
}

# plug HOST NAMESPACE PORT MAC ADDRESS GATEWAY: a cable from the integration bridge of a host to a network namespace,
# which is a file.  The port's name is the same in the switch and in OVN, which by that knows the container's addresses.
plug() {
	on "$1" ip link add "$3" type veth peer name eth0 address "$4" netns "$2"
	on "$1" ip link set "$3" up
	nsenter --net="$2" -- sh -euc '
		ip link set lo up
		# Geneve takes room in each packet of the underlay.
		ip link set eth0 mtu 1400 up
		ip address add "$1" dev eth0
		ip route add default via "$2"
		# A userspace switch takes packets as they are, and the kernel leaves the checksum to the card otherwise.
		ethtool -K eth0 tx off >/dev/null' sh "$5" "$6"
	vsctl "$1" add-port br-int "$3" -- set interface "$3" external-ids:iface-id="$3"
}

unplug() {
	vsctl "$1" --if-exists del-port br-int "$2"
}
