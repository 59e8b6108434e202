#!/bin/sh
# Every member is healthy over mutual TLS, and all of them are one cluster of the planned size.
# ENDPOINTS: client URLs of all members, parted by commas. PLANNED: how many members there are to be. GATE: yes between
# two waves, when members may still be missing, but none that has joined may be.
export ETCDCTL_API=3
tls=/etc/etcd/tls
ctl() {
    timeout 20 etcdctl --endpoints="$ENDPOINTS" --dial-timeout=2s --command-timeout=5s \
        --cacert="$tls/ca.crt" --cert="$tls/client.crt" --key="$tls/client.key" "$@"
}

# The members that the inventory has, and those that have never started.
ours() {
    if [ "${GATE:-no}" = yes ]; then awk -F', ' -v known=",$ENDPOINTS," '$5 == "" || index(known, "," $5 ",")'; else cat; fi
}

if [ "${GATE:-no}" = yes ]; then
    # A member that is down is missed by the others, which are asked as well.
    if ! systemctl is-active --quiet etcd; then
        echo "etcd does not run here yet"
        exit 77
    fi
    # Who is about to be removed may be dead.
    PLANNED=$(ctl member list 2>/dev/null | ours | grep -c .)
    if [ "$PLANNED" -eq 0 ]; then
        echo "the members have no quorum"
        exit 1
    fi
fi

# etcd 3.4 reports health on standard error.
health=$(ctl endpoint health 2>&1)
healthy=$(printf '%s\n' "$health" | grep -c ' is healthy')
if [ "$healthy" -ne "$PLANNED" ]; then
    printf '%s\n' "$health"
    bad=$(printf '%s\n' "$health" | sed -n 's/^\(https:[^ ]*\) is unhealthy.*/ \1/p' | tr -d '\n')
    echo "$healthy of $PLANNED members are healthy${bad:+; not$bad}"
    exit 1
fi

members=$(ctl member list 2>/dev/null | ours)
voting=$(printf '%s\n' "$members" | awk -F', ' '$2 == "started" && $6 == "false"' | grep -c .)
all=$(printf '%s\n' "$members" | grep -c .)
if [ "$voting" -ne "$PLANNED" ] || [ "$all" -ne "$PLANNED" ]; then
    printf '%s\n' "$members"
    echo "the cluster has $all members, $voting of them started and voting, instead of $PLANNED"
    exit 1
fi

status=$(ctl endpoint status -w fields 2>/dev/null)
clusters=$(printf '%s\n' "$status" | sed -n 's/^"ClusterID" : //p' | sort -u | grep -c .)
leaders=$(printf '%s\n' "$status" | sed -n 's/^"Leader" : //p' | sort -u)
if [ "$clusters" -ne 1 ]; then
    echo "the members are $clusters different clusters"
    exit 1
fi
case $leaders in
    '' | 0 | *[!0-9]*)
        echo "the members do not agree on a leader"
        exit 1
        ;;
esac
echo "$healthy members are healthy and agree on a leader"
