#!/bin/sh
# A wrong password is refused.
# ADDRESS: of this node. PASSWORD: of deploy_check.
umask 077
passfile=$(mktemp /run/deploy-check.XXXXXX) || exit 1
trap 'rm -f "$passfile"' EXIT
trap 'exit 1' HUP INT TERM
printf '*:*:*:deploy_check:wrong-%s\n' "$(printf '%s' "$PASSWORD" | sed 's/[\\:]/\\&/g')" >"$passfile"
if said=$(PGPASSFILE=$passfile timeout 15 psql -XAtqw -c 'SELECT 1' "host=$ADDRESS port=6432 dbname=deploy \
user=deploy_check connect_timeout=10 sslmode=verify-full sslrootcert=/etc/pgbouncer/tls/ca.crt" 2>&1); then
    echo "a wrong password was let in"
    exit 1
fi
case $said in
    *'authentication failed'*)
        echo "a wrong password is refused"
        exit 0
        ;;
esac
echo "it could not be seen whether a wrong password is refused: $(printf '%s\n' "$said" | tail -n 1)"
exit 1
