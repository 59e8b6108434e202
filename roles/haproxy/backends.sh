#!/bin/sh
# HAProxy sees one leader, and every other member as a replica.
# ADDRESS: of this node, as in a URL. MEMBERS: how many members there are. PASSWORD: of the statistics. PART: yes where members
# may be left out.
if ! table=$(printf 'user = "statistics:%s"\n' "$PASSWORD" | curl --config - --silent --show-error --fail \
    --max-time 5 --cacert /etc/haproxy/tls/ca.crt "https://$ADDRESS:7000/;csv" 2>&1); then
    echo "the statistics do not answer: $table"
    exit 1
fi

# Servers of a backend that are up, without its fallbacks.
up() {
    printf '%s\n' "$table" | awk -F, -v backend="$1" '
        NR == 1 { sub(/^# /, ""); for (i = 1; i <= NF; i++) column[$i] = i; next }
        $1 == backend && $2 != "FRONTEND" && $2 != "BACKEND" && $(column["bck"]) == 0 \
            && $(column["status"]) ~ /^UP/ { count++ }
        END { print count + 0 }'
}
leaders=$(up leader)
replicas=$(up replicas)
healthy=$(up members)
seen="it sees $leaders leaders, $replicas replicas and $healthy healthy members of $MEMBERS"
echo "$seen"
[ "${PART:-no}" != yes ] || MEMBERS=$healthy
[ "$leaders" -eq 1 ] && [ "$replicas" -eq "$((MEMBERS - 1))" ] && [ "$healthy" -eq "$MEMBERS" ]
