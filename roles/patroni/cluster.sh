#!/bin/sh
# There is one leader, and every planned member runs on its timeline without lagging behind. Here PostgreSQL can read who may
# log in: it starts with no line that it cannot.
# ADDRESS: of this node, as in a URL. MEMBERS: names, parted by spaces. MAX_LAG: bytes. GATE: yes between two waves, when members
# may still be missing.
tls=/etc/patroni/tls
if ! cluster=$(curl --silent --show-error --fail --max-time 5 --cacert "$tls/ca.crt" \
    --cert "$tls/client.crt" --key "$tls/client.key" "https://$ADDRESS:8008/cluster" 2>&1); then
    echo "Patroni does not answer: $cluster"
    exit 1
fi

# PostgreSQL reads the JSON, so that the shell need not.
cd / || exit 1
# No name means anything but what the catalog says.
export PGOPTIONS="-c search_path=pg_catalog,pg_temp"
if ! problems=$(timeout 10 setpriv --reuid postgres --regid postgres --init-groups psql -XAtq -v ON_ERROR_STOP=1 \
    -v cluster="$cluster" -v planned="$MEMBERS" -v max_lag="$MAX_LAG" -v gate="${GATE:-no}" 2>&1 <<'SQL'
WITH planned AS (
    SELECT unnest(string_to_array(:'planned', ' ')) AS name
), member AS (
    SELECT * FROM json_to_recordset((:'cluster'::json) -> 'members')
        AS m(name text, role text, state text, timeline int, lag text)
), leader AS (
    SELECT * FROM member WHERE role = 'leader'
), problem(text) AS (
    SELECT 'there is no leader' WHERE NOT EXISTS (SELECT FROM leader)
    UNION ALL
    SELECT 'more than one leader: ' || string_agg(name, ', ') FROM leader HAVING count(*) > 1
    UNION ALL
    SELECT planned.name || ' is not a member' FROM planned LEFT JOIN member USING (name)
    WHERE member.name IS NULL AND :'gate' <> 'yes'
    UNION ALL
    SELECT name || ' is ' || coalesce(state, 'unknown') FROM member JOIN planned USING (name)
    WHERE state IS DISTINCT FROM 'running' AND state IS DISTINCT FROM 'streaming'
    UNION ALL
    SELECT member.name || ' is on timeline ' || coalesce(member.timeline::text, 'unknown')
        || ', the leader on ' || coalesce(leader.timeline::text, 'unknown')
    FROM member JOIN planned USING (name), leader WHERE member.timeline IS DISTINCT FROM leader.timeline
    UNION ALL
    SELECT name || ' lags ' || lag || ' bytes' FROM member JOIN planned USING (name)
    WHERE CASE WHEN lag ~ '^[0-9]+$' THEN lag::numeric > :max_lag ELSE lag IS NOT NULL END
    UNION ALL
    SELECT 'pg_hba.conf, line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL
)
SELECT string_agg(text, '; ') FROM problem;
SQL
); then
    echo "PostgreSQL does not answer: $problems"
    exit 1
fi
if [ -n "$problems" ]; then
    echo "$problems"
    exit 1
fi
echo "one leader; all members run on its timeline: $MEMBERS"
