#!/bin/sh
# nginx answers on every port of its applications, whatever becomes of the processes behind it.
# NODE: this node. ADDRESS: its own, as in a URL. PORTS: of the applications here.
for port in $PORTS; do
    if ! said=$(curl --silent --show-error --fail --max-time 3 --noproxy '*' --cacert /etc/nginx/tls/ca.crt \
        --connect-to "$NODE:$port:$ADDRESS:$port" "https://$NODE:$port/nginx-health" 2>&1); then
        echo "port $port: $said"
        exit 1
    fi
done
echo "it answers on $PORTS"
