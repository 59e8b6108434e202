#!/bin/sh
# A row written through PgBouncer comes back over the read-only path.
# NODE, ADDRESS: of this node. PASSWORD: of deploy_check.
umask 077
passfile=$(mktemp /run/deploy-check.XXXXXX) || exit 1
trap 'rm -f "$passfile"' EXIT
trap 'exit 1' HUP INT TERM
printf '*:*:*:deploy_check:%s\n' "$(printf '%s' "$PASSWORD" | sed 's/[\\:]/\\&/g')" >"$passfile"

sql() {
    database=$1
    shift
    PGPASSFILE=$passfile timeout 15 psql -XAtqw -v ON_ERROR_STOP=1 -v VERBOSITY=terse -v node="$NODE" "$@" "host=$ADDRESS port=6432 dbname=$database \
user=deploy_check connect_timeout=10 sslmode=verify-full sslrootcert=/etc/pgbouncer/tls/ca.crt" 2>&1
}

if ! written=$(sql deploy <<'SQL'
INSERT INTO heartbeat (node, at) VALUES (:'node', clock_timestamp())
ON CONFLICT (node) DO UPDATE SET at = excluded.at RETURNING at;
SQL
); then
    echo "nothing could be written: $(printf '%s\n' "$written" | tail -n 1)"
    exit 1
fi

tries=0
while [ "$tries" -lt 20 ]; do
    if read=$(sql deploy_ro -v written="$written" <<'SQL'
SELECT CASE WHEN pg_is_in_recovery() THEN 'a replica' ELSE 'the leader' END
FROM heartbeat WHERE node = :'node' AND at >= :'written';
SQL
    ); then
        if [ -n "$read" ]; then
            echo "a row written on the leader was read back from $read"
            exit 0
        fi
        reason="the row has not arrived where reads go"
    else
        reason="nothing could be read: $(printf '%s\n' "$read" | tail -n 1)"
    fi
    tries=$((tries + 1))
    sleep 0.25
done
echo "$reason"
exit 1
