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
# rest URL ARGUMENT… : Patroni's REST interface.
rest() {
    curl --silent --show-error --fail --max-time 5 --cacert "$tls/ca.crt" \
        --cert "$tls/client.crt" --key "$tls/client.key" --globoff --url "$@" 2>&1
}
# look : ends here where a standby is synchronous.
look() {
    if ! cluster=$(rest "https://$ADDRESS:8008/cluster"); then
        echo "Patroni does not answer: $cluster"
        exit 1
    fi
    case $cluster in
    *'"role": "sync_standby"'* | *'"role": "quorum_standby"'*)
        echo "a standby is synchronous"
        exit 0
        ;;
    esac
}
look
# The leader makes slots for its replicas, and appoints one that streams within two seconds, in its next round: up to
# loop_wait from now. A patch that changes nothing begins that round at once; it is no use before there is a replica that runs.
lines=$(printf '%s\n' "$cluster" | tr '{' '\n')
leader=$(printf '%s\n' "$lines" | sed -n '/"role": *"leader"/s|.*"api_url": *"\([^"]*\)/patroni".*|\1|p')
# What a member says of itself is no option of curl.
case $leader in https://*) ;; *) leader= ;; esac
if [ -n "$leader" ] && printf '%s\n' "$lines" | grep -Eq '"role": *"replica", *"state": *"(running|streaming)"'; then
    rest "$leader/config" -X PATCH -H 'Content-Type: application/json' -d '{"no-such-setting": null}' >/dev/null
    case $cluster in *'"state": "streaming"'*) looks='1 2 3 4 5 6' ;; *) looks=1 ;; esac
    for _ in $looks; do
        sleep 0.5
        look
    done
fi
echo "no standby is synchronous yet"
exit 1
