#!/usr/bin/env bash
# What a run without changes costs, against its floor in the same minute: bare `ssh NODE true` to the same nodes at
# once, and the time that the probe itself takes on the slowest node. On a lab of its own, eight machines, taken down at the end.
# cluster.sh DEPLOY
set -euo pipefail
deploy=$(realpath "$1")
rounds=${BENCH_ROUNDS:-5}
root=${DEPLOY_LAB_ROOT:-/var/lib/deploy-lab}
nodes=(m1 m2 m3 w1 w2 w3 a1 a2)
# The cluster, and other machines for the floor of its first deploy.
folder=$(mktemp -d)
bare=$(mktemp -d)

# inventory NAME NETWORK : eight machines, three octets of their addresses.
inventory() {
    cat <<TEXT
name: $1
nodes:
  m1: { kind: manager, address: $2.11 }
  m2: { kind: manager, address: $2.12 }
  m3: { kind: manager, address: $2.13 }
  w1: { kind: worker, address: $2.21 }
  w2: { kind: worker, address: $2.22 }
  w3: { kind: worker, address: $2.23 }
  a1: { kind: app, address: $2.31 }
  a2: { kind: app, address: $2.32 }
ssh: { config: $root/labs/$1/ssh_config }
access: { admin: [$2.0/24], clients: [$2.0/24] }
postgresql: { memory: 512MB, cores: 2 }
haproxy: { max_connections: 2000 }
pgbouncer: { max_client_conn: 1000 }
TEXT
}
inventory bench 10.97.0 >"$folder/cluster.yaml"
inventory bench-floor 10.97.1 >"$bare/cluster.yaml"
config=$root/labs/bench/ssh_config
down() {
    for lab in "$folder" "$bare"; do
        "$deploy" lab down "$lab" || true
        rm -rf "$lab"
    done
}
trap down EXIT

# seconds COMMAND… : wall time in seconds.
seconds() {
    local begun=$EPOCHREALTIME
    "$@" >/dev/null 2>&1 || echo "failed: $*" >&2
    awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", b - a }'
}

# middle : the median of the numbers on standard input.
middle() {
    sort -n | sed -n "$(((rounds + 1) / 2))p"
}

# median COMMAND… : of several rounds.
median() {
    for _ in $(seq "$rounds"); do seconds "$@"; done | middle
}

# probed VERB… : several rounds; of each the wall time and the longest execution on a node, in seconds.
probed() {
    local wall
    for _ in $(seq "$rounds"); do
        wall=$(seconds "$deploy" "$@" --trace "$folder/trace")
        echo "$wall $(sed -n 's/.*"seconds":\([0-9.]*\).*"what":"execute".*/\1/p' "$folder/trace" | sort -n | tail -n1)"
    done
}

# against FLOOR : of lines `wall probe`, the median wall time, the median probe, and the rest as a multiple of the floor.
against() {
    local lines
    lines=$(cat)
    printf '%8s s = probe %s s + %s × the floor\n' "$(cut -d' ' -f1 <<<"$lines" | middle)" \
        "$(cut -d' ' -f2 <<<"$lines" | middle)" \
        "$(awk -v floor="$1" '{ printf "%.2f\n", ($1 - $2) / floor }' <<<"$lines" | middle)"
}

logged_in() {
    local node
    for node in "${nodes[@]}"; do ssh -F "$config" -o ControlPath=none "$node" true & done
    wait
}

# unpack : installs on all nodes at once what the plan wants, with apt alone and without starting anything.
unpack() {
    local nodes packages node
    while IFS='|' read -r nodes packages; do
        for node in $nodes; do
            ssh -F "$root/labs/bench-floor/ssh_config" "$node" "mkdir -p /etc/postgresql-common/createcluster.d &&
                echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/bench.conf &&
                printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d &&
                DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install ${packages//,/}" </dev/null &
        done
    done <<<"$wanted"
    wait
}

# reloads : what the services themselves need to take new certificates: all at once but the Sentinels, which restart one
# after the other, each when the one before it could replace the primary again.
reloads() {
    local node units
    for node in "${nodes[@]}"; do
        case $node in
            m*) units=haproxy ;;
            w*) units=patroni ;;
            *) units='pgbouncer redis-server' ;;
        esac
        ssh -F "$config" "$node" "systemctl reload $units" &
    done
    wait
    for node in m1 m2 m3; do
        # shellcheck disable=SC2016 # the node's own words
        ssh -F "$config" "$node" 'systemctl restart redis-sentinel
            export REDISCLI_AUTH=$(sed -n 2p /etc/redis/secret/sentinel-admin)
            until redis-cli -s /run/sentinel/redis-sentinel.sock --user admin SENTINEL CKQUORUM bench 2>&1 |
                grep -q "^OK 3 "; do sleep 0.1; done'
    done
}

for lab in "$folder" "$bare"; do
    "$deploy" lab down "$lab" >/dev/null 2>&1 || true
    "$deploy" init "$lab" >/dev/null
done
# The first boot makes the image; the second is what it costs from a kept one.
"$deploy" lab up "$bare" >/dev/null 2>&1
wanted=$("$deploy" plan "$bare" | sed -n 's/^  + packages debian  \(.*\)  not installed: \(.*\)/\1|\2/p')
unpacked=$(seconds unpack)
# They stand still from now on. Their disks go at the end: some file systems are slow for minutes after so many files are gone.
"$deploy" lab kill "$bare" "${nodes[@]}" >/dev/null 2>&1
up=$(seconds "$deploy" lab up "$folder")
cold=$(seconds "$deploy" apply --yes "$folder")
floor=$(median logged_in)
plan=$(probed plan "$folder" | against "$floor")
again=$(probed apply --yes "$folder" | against "$floor")
executions=$("$deploy" apply --yes --json "$folder" | grep -o '"[mwa][0-9]": [0-9]*' | sed 's/.*: //' | sort -n | tail -n1)
status=$(median "$deploy" status "$folder")
renewal=$(seconds "$deploy" certs renew --force --yes "$folder")
sleep 5
reloaded=$(seconds reloads)

printf 'lab up, eight nodes, kept image      %8s s\n' "$up"
printf 'cold deploy, eight nodes             %8s s\n' "$cold"
printf 'floor: apt alone, the same packages  %8s s\n' "$unpacked"
printf 'floor: eight bare ssh at once        %8s s  median of %s\n' "$floor" "$rounds"
printf 'plan without changes                 %s\n' "$plan"
printf 'apply without changes                %s\n' "$again"
printf 'status                               %8s s\n' "$status"
printf 'every certificate made anew          %8s s\n' "$renewal"
printf "floor: the services' own reloads      %8s s\n" "$reloaded"
printf 'remote executions on a node at most  %8s\n' "$executions"
