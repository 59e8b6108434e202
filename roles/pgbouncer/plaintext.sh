#!/bin/sh
# A connection without TLS is refused, the right password or not.
# ADDRESS: of this node. PASSWORD: of deploy_check.
umask 077
passfile=$(mktemp /run/deploy-check.XXXXXX) || exit 1
trap 'rm -f "$passfile"' EXIT
trap 'exit 1' HUP INT TERM
printf '*:*:*:deploy_check:%s\n' "$(printf '%s' "$PASSWORD" | sed 's/[\\:]/\\&/g')" >"$passfile"
if said=$(PGPASSFILE=$passfile timeout 15 psql -XAtqw -c 'SELECT 1' \
    "host=$ADDRESS port=6432 dbname=deploy user=deploy_check connect_timeout=10 sslmode=disable" 2>&1); then
    echo "a connection without TLS was let in"
    exit 1
fi
case $said in
    *'SSL required'* | *'SSL is required'*)
        echo "a connection without TLS is refused"
        exit 0
        ;;
esac
echo "it could not be seen whether a connection without TLS is refused: $(printf '%s\n' "$said" | tail -n 1)"
exit 1
