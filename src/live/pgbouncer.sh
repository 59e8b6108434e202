# PgBouncer: its pools and databases, from its console over the socket, as the user that it runs as.

# pgbouncer_probe : `SHOW POOLS`, then `SHOW DATABASES`, each with its heading; nothing where it does not run.
pgbouncer_probe() {
    [ -S /var/run/postgresql/.s.PGSQL.6432 ] || return 0
    # Not /usr/bin/psql: Debian's wrapper takes longer than everything else here.
    for pgbouncer_psql in /usr/lib/postgresql/*/bin/psql; do :; done
    [ -x "$pgbouncer_psql" ] || return 0
    pgbouncer_said=$(cd / && PGCONNECT_TIMEOUT=3 timeout 5 setpriv --reuid postgres --regid postgres --init-groups \
        "$pgbouncer_psql" -XAq -F, -P footer=off -h /var/run/postgresql -p 6432 -U pgbouncer \
        -c 'SHOW POOLS' -c 'SHOW DATABASES' pgbouncer 2>/dev/null) || return 0
    printf 'console=%s\n' "$(printf %s "$pgbouncer_said" | base64 -w0)"
}

