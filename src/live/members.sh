# Patroni's members, through its REST interface with the node's own client certificate.

# members_rest CERTIFICATE ARGUMENT… : curl with verified TLS on both sides.
members_rest() {
    members_tls=$1
    shift
    curl -sS --max-time "${MEMBERS_PATIENCE:-4}" --cacert "${members_tls%/*}/ca.crt" --cert "$members_tls.crt" \
        --key "$members_tls.key" "$@"
}

# members_probe CERTIFICATE ADDRESS MOUNT DATA-DIRECTORY… : MOUNT is empty where the data is on no mount of its own.
members_probe() {
    members_client=$1
    members_at=$2
    if [ -n "$3" ]; then
        if mountpoint -q -- "$3"; then echo mounted=yes; else echo mounted=no; fi
    fi
    shift 3
    owned_probe patroni "$@"
    unit_ran patroni || return 0
    printf 'status='
    members_rest "$members_client" -w '\ncluster=' "https://$members_at:8008/patroni" --next \
        --max-time 4 --cacert "${members_client%/*}/ca.crt" --cert "$members_client.crt" --key "$members_client.key" \
        -sS "https://$members_at:8008/cluster" 2>/dev/null
    echo
}

# members_field NAME : the value of a text field, one for each object on standard input.
members_field() {
    tr '{' '\n' | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
}

# members_restart CERTIFICATE ADDRESS NAME SECONDS : restarts this replica's PostgreSQL and waits until it streams again.
# Patroni learns of a changed configuration in its next round, within SECONDS; before that it would refuse.
members_restart() {
    members_tries=0
    until members_rest "$1" "https://$2:8008/patroni" 2>/dev/null | grep -q '"pending_restart": *true'; do
        members_tries=$((members_tries + 1))
        [ $members_tries -lt $(($4 * 2)) ] || break
        sleep 0.5
    done
    members_status=$(MEMBERS_PATIENCE=120 members_rest "$1" -o /dev/stderr -w '%{http_code}' -X POST \
        -H 'Content-Type: application/json' -d '{"restart_pending": true}' "https://$2:8008/restart")
    case $members_status in
    200 | 202) ;;
    # Nothing waits for a restart any more.
    503) ;;
    *) return 1 ;;
    esac
    members_settled "$1" "$2"
}

# members_settled CERTIFICATE ADDRESS : within a minute, no restart is pending here and PostgreSQL runs.
members_settled() {
    members_tries=0
    until members_rest "$1" "https://$2:8008/patroni" 2>/dev/null >/run/deploy/member.json &&
        grep -q '"state": *"\(running\|streaming\)"' /run/deploy/member.json &&
        ! grep -q '"pending_restart": *true' /run/deploy/member.json; do
        members_tries=$((members_tries + 1))
        [ $members_tries -lt 60 ] || return 1
        sleep 1
    done
}

# members_ready CERTIFICATE ADDRESS NAME LAG [TO] : where this node leads, another one that is at most LAG bytes behind can take
# over ($members_to, else empty), which is TO where it is given, and what PostgreSQL has to write before it stops is written.
members_ready() {
    members_to=
    members_tries=0
    until members_view=$(members_rest "$1" --fail "https://$2:8008/cluster") &&
        members_view=$(printf '%s\n' "$members_view" | tr '{' '\n') &&
        members_leader=$(printf '%s\n' "$members_view" | grep '"role": *"\(standby_\)\{0,1\}leader"' | members_field name) &&
        [ -n "$members_leader" ]; do
        members_tries=$((members_tries + 1))
        if [ $members_tries -ge 5 ]; then
            echo "Patroni does not say who leads"
            return 1
        fi
        sleep 1
    done
    [ "$members_leader" = "$3" ] || return 0
    members_to=$(members_candidate "$members_view" "$4" "${5:-}")
    if [ -z "$members_to" ]; then
        echo "${5:-no standby} is ${5:+not }ready to lead"
        return 1
    fi
    (cd / && setpriv --reuid postgres --regid postgres --init-groups psql -XAtqc CHECKPOINT)
}

# members_candidate VIEW LAG [TO] : a synchronous standby, else a replica that runs and is behind by LAG bytes at most: TO where
# it is given, and the one that is least behind where it is not. Nothing where there is none.
members_candidate() {
    {
        members_sync=$(printf '%s\n' "$1" | grep '"sync_standby"' | members_field name)
        if [ -n "$members_sync" ]; then
            printf '%s\n' "$members_sync"
        else
            printf '%s\n' "$1" | grep '"role": *"replica"' | grep '"state": *"\(running\|streaming\)"' |
                sed -n 's/.*"name": *"\([^"]*\)".*"lag": *\([0-9]\{1,\}\).*/\2 \1/p' | sort -n |
                while read -r members_lag members_name; do
                    [ "$members_lag" -gt "$2" ] || echo "$members_name"
                done
        fi
    } | awk -v to="${3:-}" 'to == "" || $0 == to { print; exit }'
}

# members_hand_over CERTIFICATE ADDRESS NAME LAG [TO] : moves the leadership from here to that candidate, and waits until the new
# leader is known and this node follows it.
members_hand_over() {
    members_ready "$@" || return 1
    if [ -z "$members_to" ]; then
        echo "$3 does not lead; nothing to hand over"
        members_settled "$1" "$2"
        return
    fi
    members_status=$(MEMBERS_PATIENCE=90 members_rest "$1" -o /dev/stderr -w '%{http_code}' -X POST \
        -H 'Content-Type: application/json' -d "{\"leader\": \"$3\", \"candidate\": \"$members_to\"}" "https://$2:8008/switchover")
    [ "$members_status" = 200 ] || return 1
    members_tries=0
    until members_rest "$1" "https://$2:8008/patroni" 2>/dev/null | grep -q '"role": *"replica"'; do
        members_tries=$((members_tries + 1))
        [ $members_tries -lt 60 ] || return 1
        sleep 1
    done
    members_settled "$1" "$2"
}

