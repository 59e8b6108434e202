#!/bin/sh
# The service answers on each of its ports.
# PORTS: its ports.
for port in $PORTS; do
    curl --silent --show-error --fail --max-time 3 --noproxy '*' "http://127.0.0.1:$port/" || exit 1
done
