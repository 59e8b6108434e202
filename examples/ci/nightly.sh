#!/bin/sh
# Each night: what was changed on the nodes by hand, and which certificates are due.
# nightly.sh INVENTORY: ends with 2 where there is either, with another code where a question could not be answered.
set -u
[ $# -eq 1 ] || { echo "usage: nightly.sh INVENTORY" >&2; exit 1; }
inventory=$1
deploy drift "$inventory"
drift=$?
deploy certs "$inventory" --within 30d
certs=$?
for status in $drift $certs; do
    case $status in 0 | 2) ;; *) exit "$status" ;; esac
done
[ "$drift" -eq 0 ] && [ "$certs" -eq 0 ] || exit 2
