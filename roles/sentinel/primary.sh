#!/bin/sh
# All Sentinels name the same primary, it says that it is one, and no other Redis does.
# NAME: of the primary, as Sentinels call it. SENTINELS, REDIS: addresses of all. PORT: of Redis. PASSWORD: of its user haproxy.
at() {
    at_host=$1
    shift
    timeout 5 redis-cli --tls --cacert /etc/redis/tls/ca.crt -h "$at_host" "$@" 2>&1 </dev/null
}
REDISCLI_AUTH=$(sed -n 2p /etc/redis/secret/sentinel-admin)
export REDISCLI_AUTH
named=$(for sentinel in $SENTINELS; do
    at "$sentinel" -p 26379 --user admin SENTINEL get-master-addr-by-name "$NAME" | sed -n 1p
done | sort -u)
if [ "$(printf '%s\n' "$named" | wc -l)" -ne 1 ] || [ -z "$named" ]; then
    echo "the Sentinels do not agree: $(printf '%s ' "$named" | tr '\n' ' ')"
    exit 1
fi
export REDISCLI_AUTH="$PASSWORD"
primaries=
for each in $REDIS; do
    if at "$each" -p "$PORT" --user haproxy INFO replication | grep -q '^role:master'; then
        primaries="$primaries $each"
    fi
done
if [ "$primaries" != " $named" ]; then
    echo "the Sentinels name $named; as primaries answer:${primaries:- none}"
    exit 1
fi
echo "all Sentinels name $named"
