# A Redis and a Sentinel that are made up, for the tests of hand_over.sh: they stand in the place of those that are asked.
# The old primary is paused and has no writes left over; the Sentinel begins the failover, and `goes named` and `goes moving`,
# which each test writes, say how it goes on, by the number of `times` that its state was asked for.
# shellcheck disable=SC2034 # read by hand_over.sh
pipe=$FOLDER/pipe
# shellcheck disable=SC2034 # the same
most=6000
asked_for=$FOLDER/asked_for
: >"$asked_for"

redis_at() {
    at=$1
    shift
    case "$*" in
        "")
            cat >/dev/null
            echo slave
            ;;
        "CONFIG GET"*) printf 'replica-priority\n1\n' ;;
        "CONFIG SET"*) echo "priority=$at $4" >&2 ;;
        *INFO*) printf 'role:master\nslave0:ip=%s,port=1,offset=7\nslave1:ip=c,port=1,offset=7\nmaster_repl_offset:7\nmaster_link_status:up\n' "$TO" ;;
        CLIENT*)
            echo "told=$*" >&2
            echo OK
            ;;
    esac
}

sentinel_at() {
    shift
    # shellcheck disable=SC2034 # read by `goes`
    times=$(wc -l <"$asked_for")
    case "$*" in
        *REPLICAS*) printf 'ip\n%s\nslave-priority\n1\n' "$TO" ;;
        *FAILOVER*) echo OK ;;
        *get-master*)
            sleep 0.05
            if goes named; then echo "$TO"; else echo "$FROM"; fi
            ;;
        *MASTER*)
            echo >>"$asked_for"
            printf 'ip\n%s\nflags\nmaster%s\n' "$FROM" "$(goes moving && echo ,failover_in_progress)"
            ;;
    esac
}
