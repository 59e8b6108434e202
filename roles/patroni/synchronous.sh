#!/bin/sh
# A standby is synchronous.
# ADDRESS: of this node, as in a URL. MODE: off, on or strict. MEMBERS: how many there are.
if [ "$MODE" = off ]; then
    echo "synchronous replication is off"
    exit 77
fi
if [ "$MEMBERS" -lt 2 ]; then
    echo "there is no second member that could be synchronous"
    exit 77
fi
tls=/etc/patroni/tls
if ! cluster=$(curl --silent --show-error --fail --max-time 5 --cacert "$tls/ca.crt" \
    --cert "$tls/client.crt" --key "$tls/client.key" "https://$ADDRESS:8008/cluster" 2>&1); then
    echo "Patroni does not answer: $cluster"
    exit 1
fi
if printf '%s\n' "$cluster" | grep -Eq '"role": *"(sync|quorum)_standby"'; then
    echo "a standby is synchronous"
    exit 0
fi
echo "no standby is synchronous yet"
exit 1
