#!/bin/sh
# Redis is the primary, or a replica that is linked to it.
# ADDRESS: of this node. PORT: of Redis.
REDISCLI_AUTH=$(sed -n 2p /etc/redis/secret/redis-admin)
export REDISCLI_AUTH
if ! said=$(timeout 5 redis-cli --tls --cacert /etc/redis/tls/ca.crt -h "$ADDRESS" -p "$PORT" --user admin \
    INFO replication 2>&1 | tr -d '\r'); then
    echo "Redis does not answer: $said"
    exit 1
fi
field() {
    printf '%s\n' "$said" | sed -n "s/^$1://p"
}
case $(field role) in
    master)
        echo "it is the primary, with $(field connected_slaves) replicas"
        exit 0
        ;;
    slave)
        if [ "$(field master_link_status)" = up ]; then
            echo "it follows $(field master_host)"
            exit 0
        fi
        echo "its link to $(field master_host) is down"
        exit 1
        ;;
esac
echo "Redis does not answer: $(printf '%s\n' "$said" | tail -n 1)"
exit 1
