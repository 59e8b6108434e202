#!/bin/sh
# Bare OpenSSH to all nodes at once, the floor of what any tool can do: `true`, or the script that `deploy` asks a node
# with. floor.sh CONFIG CONTROL-PATH PROBES NODE…: CONTROL-PATH is `none` for connections of their own; PROBES is the
# folder that holds NODE/probe.sh, or `none`.
set -eu
config=$1
control=$2
probes=$3
shift 3
running=
for node in "$@"; do
    if [ "$probes" = none ]; then
        set -- true
        input=/dev/null
    else
        set -- 'timeout -k 5 90 sh -s'
        input=$probes/$node/probe.sh
    fi
    ssh -F "$config" -o ControlPath="$control" -o ControlMaster=auto -o ControlPersist=60 "$node" "$@" <"$input" &
    running="$running $!"
done
for process in $running; do
    wait "$process"
done
