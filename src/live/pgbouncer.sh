# PgBouncer: its pools and databases, from its console over the socket, as the user that it runs as.

# psql on the console, words of a command: what outlives a run has it by its environment.
PGBOUNCER_PSQL="timeout 5 setpriv --reuid postgres --regid postgres --init-groups \
psql -XAq -h /var/run/postgresql -p 6432 -U pgbouncer -d pgbouncer"

# pgbouncer_console ARGUMENT… : psql on the console.
pgbouncer_console() {
    # shellcheck disable=SC2086 # words
    (cd / && PGCONNECT_TIMEOUT=3 $PGBOUNCER_PSQL "$@")
}

# pgbouncer_outlives UNIT SCRIPT ARGUMENT… : a shell that goes on when this run is dead, as a unit of that name.
pgbouncer_outlives() {
    pgbouncer_unit=$1
    shift
    pgbouncer_script=$1
    shift
    systemd-run --quiet --collect --unit="$pgbouncer_unit" --setenv=PATH="$PATH" --setenv=PSQL="$PGBOUNCER_PSQL" \
        sh -c "$pgbouncer_script" sh "$@"
}

# pgbouncer_probe : `SHOW POOLS`, then `SHOW DATABASES`, each with its heading; nothing where it does not run.
pgbouncer_probe() {
    [ -S /var/run/postgresql/.s.PGSQL.6432 ] || return 0
    pgbouncer_said=$(pgbouncer_console -F, -P footer=off -c 'SHOW POOLS' -c 'SHOW DATABASES' 2>/dev/null) || return 0
    printf 'console=%s\n' "$(printf %s "$pgbouncer_said" | base64 -w0)"
}

# pgbouncer_reconnect : each connection to a server is opened anew as soon as it is free.
pgbouncer_reconnect() {
    systemctl stop deploy-reconnects.service 2>/dev/null || true
    pgbouncer_console -c RECONNECT
}

# pgbouncer_reconnects : the same every 10 s from now on, until it is done by the function above, for 5 min at most.
pgbouncer_reconnects() {
    systemctl stop deploy-reconnects.service 2>/dev/null || true
    # shellcheck disable=SC2016 # for the shell that it starts
    pgbouncer_outlives deploy-reconnects 'for _ in $(seq 30); do sleep 10; $PSQL -c RECONNECT; done'
}

# Here are, as statements for the console, the sizes of pools that are to be put back.
PGBOUNCER_SIZES=/run/deploy/pgbouncer.sizes

# pgbouncer_settles ALIAS… : no log-in to a server begins but the first of a pool, and none of these pools is under way; servers
# that are there go on. A pause would cut a log-in off, and PgBouncer would take that for a failure: whoever came first after the
# pause would be refused.
pgbouncer_settles() {
    pgbouncer_sizes=$(pgbouncer_console -t -F= -c 'SHOW CONFIG' |
        sed -n 's/^\(default_pool_size\|reserve_pool_size\)=\([0-9]*\)=.*/SET \1=\2;/p')
    case $pgbouncer_sizes in
    # What an earlier hold has not put back yet is what they were.
    *default_pool_size=1\;*) [ -s $PGBOUNCER_SIZES ] || printf '%s\n' "$pgbouncer_sizes" >$PGBOUNCER_SIZES ;;
    ?*) printf '%s\n' "$pgbouncer_sizes" >$PGBOUNCER_SIZES ;;
    esac
    # Not 0: that is no limit to a newer PgBouncer, and closes every free server of an older one.
    [ ! -s $PGBOUNCER_SIZES ] ||
        printf 'SET default_pool_size=1;\nSET reserve_pool_size=0;\n' | pgbouncer_console || true
    pgbouncer_quiet=0
    for _ in $(seq 40); do
        if pgbouncer_console -F, -P footer=off -c 'SHOW POOLS' | awk -F, -v aliases=" $* " '
            NR == 1 { for (i = 1; i <= NF; i++) if ($i == "sv_login") column = i; next }
            index(aliases, " " $1 " ") && $column > 0 { under_way = 1 }
            END { exit under_way }'; then
            pgbouncer_quiet=$((pgbouncer_quiet + 1))
            # The first log-in of a pool may have begun between two looks.
            [ $pgbouncer_quiet -lt 2 ] || return 0
        else
            pgbouncer_quiet=0
        fi
        sleep 0.1
    done
}

# pgbouncer_grows : pools may have as many servers as before again.
pgbouncer_grows() {
    [ ! -s $PGBOUNCER_SIZES ] || { pgbouncer_console <$PGBOUNCER_SIZES && rm -f $PGBOUNCER_SIZES; } || true
}

# pgbouncer_hold "HAPROXY…" ALIAS… : from now on, clients of these pools wait before a transaction begins, instead of
# finding no leader. They go on once every HAProxy that leads somewhere now has led nowhere and leads somewhere again, and
# after 15 s in any case. Where a transaction does not end within five seconds nobody is held.
pgbouncer_hold() {
    pgbouncer_proxies=
    for pgbouncer_at in $1; do
        if pg_isready -q -t 1 -h "$pgbouncer_at" -p 5000; then pgbouncer_proxies="$pgbouncer_proxies $pgbouncer_at"; fi
    done
    shift
    # Whoever lets them go on is there before anybody is held, and outlives this connection. It does so once more when
    # nobody can be held any later than that.
    # shellcheck disable=SC2016 # for the shell that it starts
    pgbouncer_outlives "deploy-hold-$$" '
        holder=$1
        proxies=$2
        sizes=$3
        shift 3
        begun=$(date +%s)
        waits() { [ $(($(date +%s) - begun)) -lt 15 ]; }
        leads() { for at in $proxies; do pg_isready -q -t 1 -h "$at" -p 5000 || return 1; done; }
        goes_on() {
            [ ! -s "$sizes" ] || { $PSQL <"$sizes" && rm -f "$sizes"; }
            for alias in "$@"; do $PSQL -c "RESUME \"$alias\""; done
        }
        # One answer that is missing may be chance.
        while waits && { leads || { sleep 0.1 && leads; }; }; do sleep 0.1; done
        until leads || ! waits; do sleep 0.1; done
        goes_on "$@"
        while kill -0 "$holder" 2>/dev/null && [ $(($(date +%s) - begun)) -lt 120 ]; do sleep 0.1; done
        goes_on "$@"' "$$" "$pgbouncer_proxies" "$PGBOUNCER_SIZES" "$@"
    rm -f "/run/deploy/not-held.$$"
    pgbouncer_settles "$@"
    for pgbouncer_alias in "$@"; do
        pgbouncer_console -c "PAUSE \"$pgbouncer_alias\"" || : >"/run/deploy/not-held.$$" &
    done
    wait
    pgbouncer_grows
    if [ -e "/run/deploy/not-held.$$" ]; then
        rm -f "/run/deploy/not-held.$$"
        echo "a transaction takes too long: nobody is held"
        for pgbouncer_alias in "$@"; do pgbouncer_console -c "RESUME \"$pgbouncer_alias\"" || true; done
    fi
}

# pgbouncer_login ADDRESS ROLE "ALIAS…" PASSWORD-FILE : one log-in to each pool, as any client does it.
pgbouncer_login() {
    # Not in the environment: a file that goes with the step's folder.
    (umask 077 && sed 's/[\\:]/\\&/g; s/^/*:*:*:*:/' <"$4" >"$4.pgpass")
    for pgbouncer_alias in $3; do
        PGPASSFILE=$4.pgpass PGHOST=$1 PGPORT=6432 PGUSER=$2 PGDATABASE=$pgbouncer_alias PGCONNECT_TIMEOUT=10 \
            PGSSLMODE=verify-full PGSSLROOTCERT=/etc/pgbouncer/tls/ca.crt timeout 15 psql -XAtqwc 'SELECT 1'
    done
}

