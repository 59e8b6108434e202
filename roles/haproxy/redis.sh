#!/bin/sh
# A value written to Redis through HAProxy is read on a replica.
# NODE, ADDRESS: of this node. PORT: of Redis. REDIS: addresses of all. PASSWORD: of its user app.
export REDISCLI_AUTH="$PASSWORD"
at() {
    at_host=$1
    at_port=$2
    shift 2
    timeout 5 redis-cli --tls --cacert /etc/haproxy/tls/ca.crt -h "$at_host" -p "$at_port" --user app "$@" 2>&1 </dev/null
}
key="deploy:check:$NODE"
value="$(date +%s%N)"
said=$(at "$ADDRESS" 6379 SET "$key" "$value" EX 3600)
if [ "$said" != OK ]; then
    echo "nothing could be written: $(printf '%s\n' "$said" | tail -n 1)"
    exit 1
fi
begun=$(date +%s)
while [ $(($(date +%s) - begun)) -lt 6 ]; do
    for each in $REDIS; do
        if at "$each" "$PORT" ROLE | grep -q '^slave$'; then
            if [ "$(at "$each" "$PORT" GET "$key")" = "$value" ]; then
                echo "a value written to the primary was read on the replica $each"
                exit 0
            fi
        fi
    done
    sleep 0.25
done
if [ "$(echo "$REDIS" | wc -w)" -eq 1 ]; then
    echo "a value was written; there is no replica to read it from"
    exit 0
fi
echo "the value has not arrived on a replica"
exit 1
