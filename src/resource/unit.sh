# systemd units: probe and apply.

UNIT_STAMPS=/var/lib/deploy/units

# unit_hash "FILE…" : one hash over the files, in order; a missing one counts as empty.
unit_hash() {
    if [ -z "$1" ]; then
        echo none
    else
        # shellcheck disable=SC2086 # a list of paths without spaces
        unit_sum=$(cat -- $1 2>/dev/null | sha256sum)
        echo "${unit_sum%% *}"
    fi
}

# unit_probe UNIT "RESTART FILE…" "RELOAD FILE…"
unit_probe() {
    systemctl show --timestamp=unix -p ActiveState -p UnitFileState -p StateChangeTimestamp "$1.service" |
        sed -n 's/^ActiveState=/active=/p; s/^UnitFileState=/enabled=/p; s/^StateChangeTimestamp=@/since=/p'
    for takes in restart reload; do
        seen=''
        [ -r "$UNIT_STAMPS/$1.$takes" ] && read -r seen <"$UNIT_STAMPS/$1.$takes"
        if [ $takes = restart ]; then now=$(unit_hash "$2"); else now=$(unit_hash "$3"); fi
        if [ "$seen" = "$now" ]; then echo $takes=fresh; else echo $takes=stale; fi
    done
}

# unit_stamp UNIT TAKES "FILE…" : the service now runs with these.
unit_stamp() {
    mkdir -p $UNIT_STAMPS
    unit_hash "$3" >"$UNIT_STAMPS/$1.$2"
}

# unit_do VERB UNIT : on failure the unit's own last words follow.
unit_do() {
    # shellcheck disable=SC2086 # one option or none
    if ! systemctl $UNIT_BLOCK "$1" "$2.service"; then
        echo "systemctl $1 $2 failed; the last lines of its journal:"
        journalctl -q --no-pager -o cat -n 20 -u "$2.service"
        return 1
    fi
}

unit_block() {
    if [ "$1" = no-block ]; then UNIT_BLOCK=--no-block; else UNIT_BLOCK=; fi
}

# unit_enable UNIT : it may start, and does so at boot.
unit_enable() {
    if [ "$(readlink "/etc/systemd/system/$1.service")" = /dev/null ]; then
        systemctl unmask --quiet --no-reload "$1.service"
    fi
    systemctl is-enabled --quiet "$1.service" 2>/dev/null || systemctl enable --quiet --no-reload "$1.service"
}

# unit_read UNIT : systemd knows its files as they are now. A reload runs all of systemd's generators, so it is spared
# where it would find nothing new.
unit_read() {
    [ "$(systemctl show -P NeedDaemonReload "$1.service")" = no ] || systemctl daemon-reload
}

# unit_start UNIT "RESTART FILE…" "RELOAD FILE…" wait|no-block
unit_start() {
    unit_block "$4"
    unit_enable "$1"
    unit_read "$1"
    systemctl reset-failed "$1.service" 2>/dev/null || true
    unit_before=$(unit_hash "$2")
    unit_do restart "$1"
    unit_stamp "$1" reload "$3"
    if [ "$unit_before" = "$(unit_hash "$2")" ]; then unit_stamp "$1" restart "$2"; fi
}

# A service that runs and is restarted has its peers: its restart is waited for, so that the next node comes after it.
unit_restart() {
    unit_start "$1" "$2" "$3" wait
}

unit_reload() {
    unit_block wait
    unit_enable "$1"
    unit_read "$1"
    unit_do reload "$1"
    unit_stamp "$1" reload "$3"
}
