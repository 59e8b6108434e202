#!/bin/sh
# The leader takes writes.
# ADDRESS: of this node, as in a URL.
tls=/etc/patroni/tls
# rest URL : Patroni's REST interface.
rest() {
    curl --silent --show-error --fail --max-time 5 --cacert "$tls/ca.crt" \
        --cert "$tls/client.crt" --key "$tls/client.key" --globoff --url "$1" 2>&1
}
if ! cluster=$(rest "https://$ADDRESS:8008/cluster"); then
    echo "Patroni does not answer: $cluster"
    exit 1
fi
leader=$(printf '%s\n' "$cluster" | tr '{' '\n' | sed -n '/"role": *"leader"/s|.*"api_url": *"\([^"]*\)/patroni".*|\1|p')
if [ -z "$leader" ]; then
    echo "there is no leader"
    exit 1
fi
# What a member says of itself is no option of curl.
case $leader in
    https://*) ;;
    *)
        echo "Patroni names no address of the leader: $leader"
        exit 1
        ;;
esac
if ! said=$(rest "$leader/primary"); then
    echo "the leader takes no writes: $said"
    exit 1
fi
echo "the leader takes writes"
