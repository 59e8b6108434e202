# Moves the primary of Redis from this node without a lost write: writes wait, the replica catches up, the Sentinels make
# it the primary, this one follows it. Run on the primary's node.
# NAME: of the primary, as Sentinels call it. PORT, SENTINEL_PORT: of Redis and Sentinel. FROM, TO: addresses. SENTINELS: addresses.
# PASSWORD: of the administrator of the Sentinels.
umask 077
tls=/etc/redis/tls/ca.crt
own=$(sed -n 2p /etc/redis/secret/redis-admin)

# Writes are held back no longer than this, in milliseconds, whatever becomes of this script.
most=15000

# redis_at ADDRESS WORD… ; without words commands come on standard input.
redis_at() {
    at=$1
    shift
    REDISCLI_AUTH=$own timeout 8 redis-cli --tls --cacert $tls -h "$at" -p "$PORT" --user admin "$@"
}

# sentinel_at ADDRESS WORD…
sentinel_at() {
    at=$1
    shift
    REDISCLI_AUTH=$PASSWORD timeout 8 redis-cli --tls --cacert $tls -h "$at" -p "$SENTINEL_PORT" --user admin "$@" </dev/null
}

milliseconds() {
    date +%s%3N
}

# The replica that Sentinel is to choose: the one with the least priority that is not 0.
prefer() {
    redis_at "$TO" CONFIG SET replica-priority "$1" </dev/null >/dev/null
}

# level ADDRESS : it is preferred to nobody, also when it is started again.
level() {
    redis_at "$1" CONFIG SET replica-priority 100 </dev/null >/dev/null &&
        redis_at "$1" CONFIG REWRITE </dev/null >/dev/null
}

# level_others : no other replica is preferred any more. A move that was killed may have left one.
level_others() {
    for other in $(redis_at "$FROM" INFO replication </dev/null | sed -n 's/^slave[0-9]*:ip=\([^,]*\),.*/\1/p'); do
        [ "$other" != "$TO" ] || continue
        [ "$(redis_at "$other" CONFIG GET replica-priority </dev/null | sed -n 2p)" != 1 ] || level "$other"
    done
}

# Each question by a connection of its own would take longer than all else: one asks over and over, into a pipe, and is
# left alone once its answer is there.
pipe=$(mktemp -u /run/redis-hand-over.XXXXXX)
carriage=$(printf '\r')

# caught_up : the replica has acknowledged all that there is.
caught_up() {
    redis_at "$FROM" -r 60 -i 0.05 INFO replication </dev/null >"$pipe" 2>/dev/null &
    replica=none
    while read -r line; do
        line=${line%"$carriage"}
        case $line in
            slave[0-9]*:ip="$TO",*)
                replica=${line##*offset=}
                replica=${replica%%,*}
                ;;
            master_repl_offset:"$replica") return 0 ;;
        esac
    done <"$pipe"
    return 1
}

# stayed : Sentinel names the old primary, and is not about to make another one.
stayed() {
    sentinel_at "$asked" SENTINEL MASTER "$NAME" | awk -v address="$FROM" '
        key == "ip" { ip = $0 } key == "flags" { moves = /failover_in_progress/; found = 1 }
        { key = (NR % 2 ? $0 : "") } END { exit !(found && ip == address && !moves) }'
}

# named : Sentinel names the replica as the primary, for as long as writes are held back. Two seconds of that are left over.
named() {
    while [ $(($(milliseconds) - begun)) -lt $((most - 4000)) ]; do
        sentinel_at "$asked" -r 40 -i 0.05 SENTINEL get-master-addr-by-name "$NAME" >"$pipe" 2>/dev/null &
        while read -r line; do
            [ "$line" != "$TO" ] || return 0
        done <"$pipe"
        ! stayed || return 1
    done
    return 1
}

# Writes that the old primary takes while it is being replaced are lost: then the pause ends by itself, when it does.
paused=no
end() {
    rm -f "$pipe"
    if [ $paused = yes ] || { [ $paused = moving ] && stayed; }; then
        redis_at "$FROM" CLIENT UNPAUSE </dev/null >/dev/null
    fi
    level "$TO"
}

fail() {
    printf 'failed=%s\n' "$1"
    exit 1
}

# leads ADDRESS : whether it calls itself the primary.
leads() {
    redis_at "$1" INFO replication </dev/null | grep -q '^role:master'
}

main() {
    trap end EXIT
    # Without the last one, dash would end at once when nobody reads what it prints.
    trap 'exit 1' HUP INT TERM PIPE
    mkfifo "$pipe" || fail "there is no room for a pipe in /run"
    leads "$FROM" || fail "it is no longer the primary"
    level_others
    prefer 1 || fail "the replica does not answer"
    for sentinel in $SENTINELS; do
        asking=$(milliseconds)
        until sentinel_at "$sentinel" SENTINEL REPLICAS "$NAME" | awk -v address="$TO" '
            key == "ip" { ip = $0 } key == "slave-priority" && ip == address && $0 == 1 { found = 1 }
            { key = (NR % 2 ? $0 : "") } END { exit !found }'; do
            [ $(($(milliseconds) - asking)) -lt 15000 ] || continue 2
            sleep 0.25
        done
        asked=$sentinel
        break
    done
    [ -n "${asked:-}" ] || fail "no Sentinel sees the replica as it is"

    begun=$(milliseconds)
    paused=yes
    [ "$(redis_at "$FROM" CLIENT PAUSE $most WRITE </dev/null)" = OK ] || fail "writes could not be held back"
    caught_up || fail "the replica did not catch up within three seconds"
    [ $(($(milliseconds) - begun)) -lt $((most / 3)) ] || fail "this machine is too busy: nothing was moved"
    paused=moving
    said=$(sentinel_at "$asked" SENTINEL FAILOVER "$NAME")
    [ "$said" = OK ] || fail "Sentinel does not move it: $said"
    named || fail "Sentinel did not move it in time"
    # Those who wait are let go by a connection that ends: nothing of theirs was written.
    said=$(printf 'MULTI\nREPLICAOF %s %s\nCLIENT UNPAUSE\nCLIENT KILL TYPE normal SKIPME yes\nEXEC\nROLE\n' "$TO" "$PORT" |
        redis_at "$FROM" | sed -n '/^slave$/p')
    [ "$said" = slave ] || fail "the old primary does not follow the new one"
    paused=no
    took=$(($(milliseconds) - begun))
    [ $took -lt $most ] || fail "it moved, but took $took ms: writes of the last moments may be lost"
    level "$TO"
    printf 'paused=%s\n' $took
    redis_at "$FROM" CONFIG REWRITE </dev/null >/dev/null
    tries=0
    until redis_at "$FROM" INFO replication </dev/null | grep -q '^master_link_status:up'; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || fail "the old primary follows the new one, but its link is not up after a minute"
        sleep 0.5
    done
    echo moved=yes
}
