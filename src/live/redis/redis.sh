# Redis and Sentinel: what they say of themselves, and what they are told, as their administrator.

# redis_cli redis|sentinel WORD… : redis-cli by the socket that only root reaches, which no certificate can close; commands
# come on standard input or as words.
redis_cli() {
    # The first line says whose file it is.
    { read -r _ && IFS= read -r redis_auth; } <"/etc/redis/secret/$1-admin"
    case $1 in
        redis) redis_socket=/run/redis/redis-server.sock ;;
        *) redis_socket=/run/sentinel/redis-sentinel.sock ;;
    esac
    shift
    REDISCLI_AUTH=$redis_auth timeout 8 redis-cli -s "$redis_socket" --user admin "$@"
}

# redis_hash : standard input as a hash, so that a password can be compared and not read.
redis_hash() {
    redis_hash=$(sha256sum)
    echo "${redis_hash%% *}"
}

# redis_probe "DIRECTIVE…" : whose data is there, and one reply with a mark in front of each part.
redis_probe() {
    owned_probe redis /var/lib/redis
    if [ -e /etc/redis/cluster/redis.conf ]; then echo configured=yes; fi
    unit_ran redis-server || return 0
    # The password of replicas first, so that nobody but the hash sees it.
    printf 'CONFIG GET masterauth\nPING "=info"\nINFO\nPING "=config"\nCONFIG GET %s\nPING "=users"\nACL LIST\nPING "=end"\n' "$1" |
        redis_cli redis 2>/dev/null | {
        read -r _ && IFS= read -r redis_password || return 0
        printf 'masterauth=%s\nsaid=' "$(printf %s "$redis_password" | redis_hash)"
        base64 -w0
        echo
    }
}

# sentinel_probe NAME
sentinel_probe() {
    if [ -e /etc/redis/cluster/sentinel.conf ]; then echo configured=yes; fi
    unit_ran redis-sentinel || return 0
    printf 'said=%s\n' "$(printf 'PING "=info"\nINFO\nPING "=master"\nSENTINEL MASTER %s\nPING "=replicas"\nSENTINEL REPLICAS %s\nPING "=sentinels"\nSENTINEL SENTINELS %s\nPING "=ckquorum"\nSENTINEL CKQUORUM %s\nPING "=users"\nACL LIST\nPING "=end"\n' "$1" "$1" "$1" "$1" |
        redis_cli sentinel 2>/dev/null | base64 -w0)"
    sed -n "s/^sentinel \\(auth-user\\|auth-pass\\|master-reboot-down-after-period\\) $1 /\\1 /p; s/^sentinel \\(sentinel-user\\|sentinel-pass\\) /\\1 /p" \
        /etc/redis/cluster/sentinel.conf | while read -r redis_key redis_value; do
        redis_value=${redis_value#\"}
        redis_value=${redis_value%\"}
        case $redis_key in *-pass) redis_value=$(printf %s "$redis_value" | redis_hash) ;; esac
        printf '%s=%s\n' "$redis_key" "$redis_value"
    done
}

# redis_tell redis|sentinel COMMANDS-FILE : every one of them must be answered by OK.
redis_tell() {
    redis_said=$(redis_cli "$1" <"$2" 2>&1 | tr -d '\r' | sed '/^$/d')
    if [ -z "$redis_said" ] || printf '%s\n' "$redis_said" | grep -qvx OK; then
        printf '%s\n' "$redis_said"
        return 1
    fi
}

# redis_follow ADDRESS PORT : Redis, which has no data yet, begins as a replica.
redis_follow() {
    grep -q '^replicaof ' /etc/redis/cluster/redis.conf || echo "replicaof $1 $2" | redis_append /etc/redis/cluster/redis.conf
}

# redis_append FILE : standard input goes to the end of a file in a folder of Redis's own, where root would follow its links.
redis_append() {
    setpriv --reuid redis --regid redis --clear-groups tee -a "$1" >/dev/null
}

# sentinel_watch LINES-FILE : what Sentinel, which watches nothing yet, begins with.
sentinel_watch() {
    grep -q '^sentinel monitor ' /etc/redis/cluster/sentinel.conf || redis_append /etc/redis/cluster/sentinel.conf <"$1"
}

# sentinel_forget PORT NAME OTHERS REPLICAS ADDRESS… : each Sentinel in turn forgets whom it knows, and goes on when it
# knows at least as many others and replicas as there are to be: never two that know nobody.
sentinel_forget() {
    redis_auth=$(sed -n 2p /etc/redis/secret/sentinel-admin)
    redis_port=$1
    redis_name=$2
    redis_others=$3
    redis_replicas=$4
    shift 4
    for redis_at in "$@"; do
        sentinel_at "$redis_at" SENTINEL RESET "$redis_name"
        redis_tries=0
        until sentinel_at "$redis_at" SENTINEL MASTER "$redis_name" |
            awk -v wanted_others="$redis_others" -v wanted_replicas="$redis_replicas" '
                name == "num-slaves" { replicas = $0 } name == "num-other-sentinels" { others = $0 }
                { name = (NR % 2 ? $0 : "") }
                END { exit others == "" || others < +wanted_others || replicas < +wanted_replicas }'; do
            redis_tries=$((redis_tries + 1))
            if [ $redis_tries -ge 60 ]; then
                echo "the Sentinel at $redis_at does not find as many others and replicas as there are to be"
                return 1
            fi
            sleep 0.5
        done
    done
}

sentinel_at() {
    redis_host=$1
    shift
    REDISCLI_AUTH=$redis_auth timeout 8 redis-cli --tls --cacert /etc/redis/tls/ca.crt -h "$redis_host" -p "$redis_port" \
        --user admin "$@" </dev/null
}

