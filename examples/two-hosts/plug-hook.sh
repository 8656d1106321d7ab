#!/bin/sh
# A hook of the container on host 2 (createRuntime, poststop): plugs it in, and out.
#
#   plug-hook.sh DIR HOST PORT MAC ADDRESS GATEWAY
#
# The runtime gives the state of the container on standard input: before the program starts it has a pid, after its end
# none.
set -eu
DIR=$1 host=$2 port=$3
. "$(dirname "$0")/common.sh"
pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
if [ "${pid:-0}" != 0 ]; then
	plug "$host" "/proc/$pid/ns/net" "$port" "$4" "$5" "$6"
else
	unplug "$host" "$port"
fi
