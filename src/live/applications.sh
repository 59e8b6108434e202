# Applications: which group is live and which servers are drained, in our file and in the HAProxy that runs.

APPLICATIONS_DIR=/etc/haproxy/applications

# applications_map : `APPLICATION GROUP` lines of the HAProxy that runs; fails where it knows no such map.
applications_map() {
    applications_map=$(haproxy_ask "show map $APPLICATIONS_DIR/live.map") || return 1
    case $applications_map in *'Unknown map'* | *'unknown map'*) return 1 ;; esac
    printf '%s\n' "$applications_map" | awk 'NF == 3 { print $2, $3 }'
}

# applications_servers : `BACKEND SERVER DRAINED` lines of the HAProxy that runs; the bits of its state are HAProxy's own.
applications_servers() {
    haproxy_ask 'show servers state' | awk '$2 ~ /^app\./ { print $2, $4, int($7 / 8) % 2 }'
}

applications_probe() {
    [ -f $APPLICATIONS_DIR/state ] || return 0
    printf 'state=%s\n' "$(base64 -w0 <$APPLICATIONS_DIR/state)"
    applications_seen=$(applications_map) || return 0
    printf 'map=%s\n' "$(printf '%s\n' "$applications_seen" | base64 -w0)"
    printf 'drained=%s\n' "$(applications_servers | awk '$3 { print $1 "/" $2 }' | base64 -w0)"
}

# applications_told ANSWER : whether HAProxy did what it was told; it then says nothing.
applications_told() {
    [ -z "$(printf %s "$1" | tr -d '[:space:]')" ] || { echo "HAProxy: $1" && return 1; }
}

# applications_apply STATE : tells the HAProxy that runs, then writes what the next one reads, and last of all what was
# chosen: a run that is killed on the way is finished by the next.
applications_apply() {
    mkdir -p $APPLICATIONS_DIR
    if applications_before=$(applications_map); then
        applications_tell "$1"
    fi
    awk '$1 == "live" { print $2, $3 }' "$1" >$APPLICATIONS_DIR/live.map.new
    # Of the state of servers HAProxy reads again no more than what we mean: who is drained.
    { haproxy_ask 'show servers state' || echo 1; } | awk '
        NR == 1 || /^#/ { print; next }
        $2 ~ /^app\./ && int($7 / 8) % 2 { print }' >$APPLICATIONS_DIR/servers.new
    cp "$1" $APPLICATIONS_DIR/state.new
    for applications_file in live.map servers state; do
        chmod 0644 $APPLICATIONS_DIR/$applications_file.new
        sync -- $APPLICATIONS_DIR/$applications_file.new
        mv -fT -- $APPLICATIONS_DIR/$applications_file.new $APPLICATIONS_DIR/$applications_file
    done
}

# applications_tell STATE
applications_tell() {
    applications_backends=$(haproxy_ask 'show backend') || { echo "HAProxy does not say what it leads to" && return 1; }
    while read -r applications_word applications_name applications_group _; do
        [ "$applications_word" = live ] || continue
        # A group that comes with the next configuration: it is led to by that.
        printf '%s\n' "$applications_backends" | grep -qxF "app.$applications_name.$applications_group" || continue
        applications_verb=add
        if printf '%s\n' "$applications_before" | grep -q "^$applications_name "; then applications_verb='set'; fi
        applications_told "$(haproxy_ask \
            "$applications_verb map $APPLICATIONS_DIR/live.map $applications_name $applications_group")"
        if ! applications_map | grep -qxF "$applications_name $applications_group"; then
            echo "HAProxy does not lead $applications_name to $applications_group"
            return 1
        fi
    done <"$1"
    applications_servers | while read -r applications_backend applications_server applications_drained; do
        applications_name=${applications_backend#app.}
        applications_name=${applications_name%%.*}
        applications_wanted=0
        if grep -q "^drained $applications_name $applications_server [0-9]*\$" "$1"; then applications_wanted=1; fi
        case $applications_drained$applications_wanted in
            01) applications_state=drain ;;
            10) applications_state=ready ;;
            *) continue ;;
        esac
        applications_told "$(haproxy_ask \
            "set server $applications_backend/$applications_server state $applications_state")" || exit 1
    done
}

