# PgBouncer: its pools and databases, from its console over the socket, as the user that it runs as.

# pgbouncer_console ARGUMENT… : psql on the console.
pgbouncer_console() {
    (cd / && PGCONNECT_TIMEOUT=3 timeout 5 setpriv --reuid postgres --regid postgres --init-groups \
        psql -XAq -h /var/run/postgresql -p 6432 -U pgbouncer "$@" pgbouncer)
}

# pgbouncer_probe : `SHOW POOLS`, then `SHOW DATABASES`, each with its heading; nothing where it does not run.
pgbouncer_probe() {
    [ -S /var/run/postgresql/.s.PGSQL.6432 ] || return 0
    pgbouncer_said=$(pgbouncer_console -F, -P footer=off -c 'SHOW POOLS' -c 'SHOW DATABASES' 2>/dev/null) || return 0
    printf 'console=%s\n' "$(printf %s "$pgbouncer_said" | base64 -w0)"
}

# pgbouncer_reconnect : each connection to a server is opened anew as soon as it is free.
pgbouncer_reconnect() {
    pgbouncer_console -c RECONNECT
}

# pgbouncer_login ADDRESS ROLE "ALIAS…" PASSWORD-FILE : one log-in to each pool, as any client does it.
pgbouncer_login() {
    for pgbouncer_alias in $3; do
        PGPASSWORD=$(cat "$4") PGHOST=$1 PGPORT=6432 PGUSER=$2 PGDATABASE=$pgbouncer_alias PGCONNECT_TIMEOUT=10 \
            PGSSLMODE=verify-full PGSSLROOTCERT=/etc/pgbouncer/tls/ca.crt timeout 15 psql -XAtqwc 'SELECT 1'
    done
}

