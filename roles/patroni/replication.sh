#!/bin/sh
# Every replica streams from the leader over verified TLS.
# NODE: name of this node. MEMBERS: names of all, parted by spaces. GATE: yes between two waves, when members may still be missing:
# one that runs tells of itself.
cd / || exit 1
# No name means anything but what the catalog says.
export PGOPTIONS="-c search_path=pg_catalog,pg_temp"
if ! problems=$(timeout 10 setpriv --reuid postgres --regid postgres --init-groups psql -XAtq -v ON_ERROR_STOP=1 \
    -v me="$NODE" -v planned="$MEMBERS" -v gate="${GATE:-no}" 2>&1 <<'SQL'
SELECT pg_is_in_recovery() AS replica \gset
\if :replica
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 'it receives no stream'
    WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE conninfo LIKE '%sslmode=verify-full%')
        THEN 'it does not verify the leader that it streams from'
END;
\else
WITH sender AS (
    SELECT application_name AS name, state, coalesce(ssl, false) AS ssl
    FROM pg_stat_replication LEFT JOIN pg_stat_ssl USING (pid)
), problem(text) AS (
    SELECT name || ' does not stream' FROM unnest(string_to_array(:'planned', ' ')) AS planned(name)
    WHERE :'gate' <> 'yes' AND name <> :'me'
        AND NOT EXISTS (SELECT FROM sender WHERE sender.name = planned.name AND state = 'streaming')
    UNION ALL
    SELECT name || ' streams without TLS' FROM sender WHERE NOT ssl
)
SELECT string_agg(text, '; ') FROM problem;
\endif
SQL
); then
    echo "PostgreSQL does not answer: $problems"
    exit 1
fi
if [ -n "$problems" ]; then
    echo "$problems"
    exit 1
fi
echo "replication is complete and over TLS"
