# roles and databases of PostgreSQL, through the leader's own socket.

# objects_psql ARGUMENT… : psql as the superuser, without its personal settings.
objects_psql() {
    (cd / && setpriv --reuid postgres --regid postgres --init-groups psql -XAtq -v ON_ERROR_STOP=1 "$@")
}

# objects_probe SQL [DATABASE SQL]… : answers on the leader only.
objects_probe() {
    systemctl is-active --quiet patroni || return 0
    objects_main=$(objects_psql -d postgres -c "$1" 2>/dev/null) || return 0
    [ -n "$objects_main" ] || return 0
    printf 'main=%s\n' "$(printf %s "$objects_main" | base64 -w0)"
    shift
    while [ $# -gt 0 ]; do
        objects_inside=$(objects_psql -d "$1" -c "$2" 2>/dev/null) &&
            printf 'database.%s=%s\n' "$1" "$(printf %s "$objects_inside" | base64 -w0)"
        shift 2
    done
}

# objects_apply DATABASE FILE : waits up to half a minute for a leader that has just been elected to take writes.
objects_apply() {
    objects_tries=0
    until [ "$(objects_psql -d postgres -c 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f ]; do
        objects_tries=$((objects_tries + 1))
        if [ $objects_tries -ge 60 ]; then
            echo "PostgreSQL on $(uname -n) takes no writes: it does not run, or does not lead"
            return 1
        fi
        sleep 0.5
    done
    objects_psql -d "$1" <"$2"
}

