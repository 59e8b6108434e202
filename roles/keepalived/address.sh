#!/bin/sh
# Every virtual address leads to a HAProxy that answers, and says on which node it runs.
# ADDRESSES: as in URLs. NODES: the names of the nodes that may hold them.
for address in $ADDRESSES; do
    # Who holds it is asked by its certificate's authority: a stranger's answer does not count.
    if ! node=$(curl --silent --show-error --fail --max-time 3 --noproxy '*' --cacert /etc/haproxy/tls/ca.crt \
        "https://$address:7000/health" 2>&1); then
        echo "$address does not answer: $node"
        exit 1
    fi
    case " $NODES " in
        *" $node "*) held="${held:-}${held:+, }$address on $node" ;;
        *)
            echo "$address is answered by something else"
            exit 1
            ;;
    esac
done
echo "${held:-}"
