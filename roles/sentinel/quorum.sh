#!/bin/sh
# This Sentinel knows every other one and every replica, and together they could replace the primary.
# ADDRESS: of this node. NAME: of the primary, as Sentinels call it. SENTINELS: addresses of all. REPLICAS: how many there are to be.
# GATE: yes between two waves, when those that left are not forgotten yet.
REDISCLI_AUTH=$(sed -n 2p /etc/redis/secret/sentinel-admin)
export REDISCLI_AUTH
# One log-in for both questions.
said=$(printf 'SENTINEL ckquorum %s\nSENTINEL master %s\n' "$NAME" "$NAME" |
    timeout 5 redis-cli --tls --cacert /etc/redis/tls/ca.crt -h "$ADDRESS" -p 26379 --user admin 2>&1)
master=$(printf '%s\n' "$said" | sed 1d)
said=$(printf '%s\n' "$said" | sed -n 1p)
case $said in
    OK*) ;;
    *)
        echo "$said"
        exit 1
        ;;
esac
if [ "${GATE:-no}" = yes ]; then
    echo "$said"
    exit 0
fi
field() {
    printf '%s\n' "$master" | awk -v name="$1" 'found { print; exit } $0 == name { found = 1 }'
}
others=$(($(echo "$SENTINELS" | wc -w) - 1))
known=$(field num-other-sentinels)
if [ "$known" != "$others" ]; then
    echo "it knows $known other Sentinels instead of $others"
    exit 1
fi
known=$(field num-slaves)
if [ "$known" != "$REPLICAS" ]; then
    echo "it knows $known replicas instead of $REPLICAS"
    exit 1
fi
echo "$said"
