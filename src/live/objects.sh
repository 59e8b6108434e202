# roles and databases of PostgreSQL, through the leader's own socket.

# objects_psql ARGUMENT… : psql as the superuser, without its personal settings. Names mean what PostgreSQL's catalog says: whoever
# owns a database may give it a path on which functions of the same names come first.
objects_psql() {
    (
        cd / && export PGOPTIONS='-c search_path=pg_catalog,pg_temp -c standard_conforming_strings=on' &&
            setpriv --reuid postgres --regid postgres --init-groups psql -XAtq -v ON_ERROR_STOP=1 "$@"
    )
}

# objects_probe SCRIPT : its answers on the leader, all from one psql; a database that is not there has none.
objects_probe() {
    unit_ran patroni || return 0
    objects_psql -v ON_ERROR_STOP=0 -d postgres <<END 2>/dev/null
SELECT NOT pg_is_in_recovery() AS leads \gset
\if :leads
$1
\endif
END
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

