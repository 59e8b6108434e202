# etcd: membership and the key of Patroni's dynamic configuration.

# etcd_ctl CERTIFICATE ENDPOINTS ARGUMENT…
etcd_ctl() {
    etcd_tls=$1
    etcd_at=$2
    shift 2
    ETCDCTL_API=3 timeout 8 etcdctl --cacert "${etcd_tls%/*}/ca.crt" --cert "$etcd_tls.crt" --key "$etcd_tls.key" \
        --endpoints "$etcd_at" --command-timeout 5s --dial-timeout 2s "$@"
}

# etcd_probe CERTIFICATE DATA KEY KNOWN : what this member says of the members, itself and KEY, a key in base64: all by one
# process. Nothing is behind a name where it does not answer. Members that are not among the URLs of KNOWN are asked whether
# they live.
etcd_probe() {
    owned_probe etcd "$2"
    if [ -d "$2/member/wal" ]; then echo log=yes; fi
    unit_ran etcd || return 0
    etcd_key=$3
    etcd_known=$4
    etcd_at=https://127.0.0.1:2379/v3
    set -- -sS --fail --max-time 5 --cacert "${1%/*}/ca.crt" --cert "$1.crt" --key "$1.key"
    etcd_said=$(curl "$@" -d '{}' -w '\nstatus=' $etcd_at/cluster/member/list \
        --next "$@" -d '{}' -w '\nconfiguration=' $etcd_at/maintenance/status \
        --next "$@" -d "{\"key\":\"$etcd_key\"}" $etcd_at/kv/range 2>/dev/null)
    printf 'members=%s\n' "$etcd_said"
    etcd_rest=$etcd_said etcd_silent=
    while [ "$etcd_rest" != "${etcd_rest#*\"clientURLs\":\[\"}" ]; do
        etcd_rest=${etcd_rest#*\"clientURLs\":\[\"}
        etcd_url=${etcd_rest%%\"*}
        case " $etcd_known " in
        *" $etcd_url "*) ;;
        *) curl "$@" --max-time 3 -o /dev/null "$etcd_url/health" 2>/dev/null || etcd_silent="$etcd_silent $etcd_url" ;;
        esac
    done
    if [ -n "$etcd_silent" ]; then printf 'silent=%s\n' "${etcd_silent# }"; fi
}

# etcd_initial STATE MEMBERS URL : what only the first start reads.
etcd_initial() {
    mkdir -p /run/deploy
    cat >/run/deploy/etcd-initial.env <<END
ETCD_INITIAL_CLUSTER=$2
ETCD_INITIAL_CLUSTER_STATE=$1
ETCD_INITIAL_ADVERTISE_PEER_URLS=$3
END
}

# etcd_bootstrap TOKEN MEMBERS URL
etcd_bootstrap() {
    owned_claim etcd "$1"
    etcd_initial new "$2" "$3"
    echo "ETCD_INITIAL_CLUSTER_TOKEN=$1" >>/run/deploy/etcd-initial.env
}

# etcd_join TOKEN CERTIFICATE ENDPOINTS NAME URL STALE-IDS DATA : the cluster lets go of STALE-IDS and takes this node in; what is
# refused is retried because a quorum wants five quiet seconds between two changes of its membership. DATA that is not, or no
# longer, of a membership is set aside.
etcd_join() {
    owned_claim etcd "$1"
    etcd_ran=
    if [ -n "$7" ]; then
        etcd_members=$(etcd_ctl "$2" "$3" member list) || return 1
        if [ -d "$7/member/wal" ] &&
            printf '%s\n' "$etcd_members" | awk -F', ' -v url="$5" '$4 == url && $3 != "" { found = 1 } END { exit !found }'; then
            echo "it is a member after all: what it has stays"
            return 1
        fi
        case $(systemctl is-active etcd) in active | activating) etcd_ran=yes ;; esac
        systemctl stop etcd
        rm -rf -- "$7.left"
        mv -- "$7" "$7.left"
    fi
    for etcd_stale in $6; do
        etcd_gone "$2" "$3" "$etcd_stale" || return 1
    done
    etcd_members=$(etcd_ctl "$2" "$3" member list) || return 1
    # A run that was killed behind this has done it.
    if ! printf '%s\n' "$etcd_members" | etcd_lists 4 "$5"; then
        etcd_room "$2" "$3" || return 1
        etcd_added "$2" "$3" "$4" "$5" || return 1
        # Of two members one cannot be asked before the other is there.
        etcd_members="$etcd_members
, , $4, $5"
    fi
    etcd_initial existing "$(printf '%s\n' "$etcd_members" | awk -F', ' -v name="$4" -v url="$5" '
        { known = $3 == "" ? "member" NR : $3; printf "%s%s=%s", sep, ($4 == url ? name : known), $4; sep = "," }')" "$5"
    if [ -n "$etcd_ran" ]; then systemctl start --no-block etcd; fi
}

# etcd_lists FIELD VALUE : whether one of the members on standard input has it.
etcd_lists() {
    awk -F', ' -v field="$1" -v value="$2" '$field == value { found = 1 } END { exit !found }'
}

# etcd_gone CERTIFICATE ENDPOINTS ID : no member has this number any more.
etcd_gone() {
    etcd_tries=0
    until etcd_seen=$(etcd_ctl "$1" "$2" member list) && ! printf '%s\n' "$etcd_seen" | etcd_lists 1 "$3"; do
        [ $etcd_tries -lt 15 ] || return 1
        [ $etcd_tries -eq 0 ] || sleep 1
        etcd_tries=$((etcd_tries + 1))
        etcd_ctl "$1" "$2" member remove "$3" >/dev/null || true
    done
}

# etcd_added CERTIFICATE ENDPOINTS NAME URL : it is taken in, or was by an answer that did not come.
etcd_added() {
    etcd_tries=0
    until etcd_ctl "$1" "$2" member add "$3" --peer-urls="$4" >/dev/null; do
        etcd_tries=$((etcd_tries + 1))
        [ $etcd_tries -lt 15 ] || return 1
        sleep 1
        if etcd_seen=$(etcd_ctl "$1" "$2" member list) && printf '%s\n' "$etcd_seen" | etcd_lists 4 "$4"; then return; fi
    done
}

# etcd_room CERTIFICATE ENDPOINTS : all members answer, as etcd itself wants it before it takes in another one.
etcd_room() {
    etcd_tries=0
    until
        etcd_all=$(etcd_ctl "$1" "$2" member list | grep -c .)
        etcd_well=$(etcd_ctl "$1" "$2" endpoint health --cluster 2>&1 | grep -c ' is healthy')
        [ "$etcd_all" -gt 0 ] && [ "$etcd_well" -eq "$etcd_all" ]
    do
        etcd_tries=$((etcd_tries + 1))
        if [ $etcd_tries -ge 5 ]; then
            echo "$etcd_well of $etcd_all members of etcd answer, and it takes in no other until all do"
            return 1
        fi
        sleep 1
    done
}

# etcd_remove CERTIFICATE ID
etcd_remove() {
    etcd_ctl "$1" https://127.0.0.1:2379 member remove "$2"
}

# etcd_txn CERTIFICATE TRANSACTION : one compare-and-put; fails when the compared key has moved.
etcd_txn() {
    etcd_reply=$(curl -sS --max-time 8 --cacert "${1%/*}/ca.crt" --cert "$1.crt" --key "$1.key" \
        --data-binary "@$2" https://127.0.0.1:2379/v3/kv/txn)
    case $etcd_reply in
    *'"succeeded":true'*) ;;
    *)
        echo "etcd did not take the transaction; somebody changed the key meanwhile: $etcd_reply"
        return 1
        ;;
    esac
}

