# systemd units: probe and apply.

UNIT_STAMPS=/var/lib/deploy/units

# What systemd has said of all units that a script asks about: a line `UNIT ACTIVE ENABLED SINCE` each.
UNITS_STATE=''

# units_state UNIT… : from now on unit_probe knows these. systemd answers in the order of the question.
units_state() {
    UNITS_STATE=''
    unit_active=''
    unit_enabled=''
    unit_since=''
    while read -r unit_line; do
        case $unit_line in
        ActiveState=*) unit_active=${unit_line#*=} ;;
        UnitFileState=*) unit_enabled=${unit_line#*=} ;;
        StateChangeTimestamp=@*) unit_since=${unit_line#*@} ;;
        esac
        if [ -z "$unit_line" ]; then
            UNITS_STATE="$UNITS_STATE$1 ${unit_active:--} ${unit_enabled:--} ${unit_since:--}$NL"
            unit_active=''
            unit_enabled=''
            unit_since=''
            shift
        fi
    done <<END
$(systemctl show --timestamp=unix -p ActiveState -p UnitFileState -p StateChangeTimestamp -- "$@")

END
}

# unit_state UNIT : in unit_state its `ACTIVE ENABLED SINCE` when it was first asked for.
unit_state() {
    line_of "$UNITS_STATE" "$1.service " ''
    if [ -z "$LINE" ]; then
        unit_others=$UNITS_STATE
        units_state "$1.service"
        line_of "$UNITS_STATE" "$1.service " ''
        UNITS_STATE=$unit_others$UNITS_STATE
    fi
    unit_state=$LINE
}

# unit_ran UNIT : whether its service was active then. For probes alone: a step changes that.
unit_ran() {
    unit_state "$1"
    case ${unit_state%% *} in active | reloading) ;; *) return 1 ;; esac
}

# unit_known "FILE…" : in UNIT_KNOWN the hash of each file, in order; a dash for one that is missing.
unit_known() {
    UNIT_KNOWN=''
    for unit_file in $1; do
        path_hash "$unit_file"
        UNIT_KNOWN="$UNIT_KNOWN${UNIT_KNOWN:+ }${PATH_HASH:--}"
    done
    UNIT_KNOWN=${UNIT_KNOWN:-none}
}

# unit_hash "FILE…" : the same, as the files are now.
unit_hash() {
    # shellcheck disable=SC2086 # a list of paths without spaces
    paths_hash $1
    unit_known "$1"
}

# unit_probe UNIT "RESTART FILE…" "RELOAD FILE…"
unit_probe() {
    unit_state "$1"
    unit_active=${unit_state%% *}
    unit_state=${unit_state#* }
    printf 'active=%s\nenabled=%s\n' "${unit_active#-}" "${unit_state%% *}"
    unit_state=${unit_state#* }
    [ "$unit_state" = - ] || printf 'since=%s\n' "$unit_state"
    for takes in restart reload; do
        seen=''
        [ -r "$UNIT_STAMPS/$1.$takes" ] && read -r seen <"$UNIT_STAMPS/$1.$takes"
        if [ $takes = restart ]; then unit_known "$2"; else unit_known "$3"; fi
        if [ "$seen" = "$UNIT_KNOWN" ]; then echo $takes=fresh; else echo $takes=stale; fi
    done
}

# unit_stamp UNIT TAKES "FILE…" : the service now runs with these.
unit_stamp() {
    mkdir -p $UNIT_STAMPS
    unit_hash "$3"
    printf '%s\n' "$UNIT_KNOWN" >"$UNIT_STAMPS/$1.$2"
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

# unit_enable UNIT : it may start, does so at boot, and systemd knows its files as they are now. A reload runs all of systemd's
# generators, so it is spared where it would find nothing new.
unit_enable() {
    if [ "$(readlink "/etc/systemd/system/$1.service")" = /dev/null ]; then
        systemctl unmask --quiet --no-reload "$1.service"
    fi
    # At boot it starts already where its state is this one; what else lets it start tells `is-enabled`.
    case $(systemctl show -p UnitFileState -p NeedDaemonReload "$1.service") in
    *NeedDaemonReload=no*UnitFileState=enabled* | *UnitFileState=enabled*NeedDaemonReload=no*) return ;;
    esac
    systemctl is-enabled --quiet "$1.service" 2>/dev/null || systemctl enable --quiet --no-reload "$1.service"
    [ "$(systemctl show -P NeedDaemonReload "$1.service")" = no ] || systemctl daemon-reload
}

# unit_start UNIT "RESTART FILE…" "RELOAD FILE…" wait|no-block
unit_start() {
    unit_block "$4"
    unit_enable "$1"
    systemctl reset-failed "$1.service" 2>/dev/null || true
    unit_hash "$2"
    unit_before=$UNIT_KNOWN
    unit_do restart "$1"
    unit_stamp "$1" reload "$3"
    unit_hash "$2"
    if [ "$unit_before" = "$UNIT_KNOWN" ]; then unit_stamp "$1" restart "$2"; fi
}

# A service that runs and is restarted has its peers: its restart is waited for, so that the next node comes after it.
unit_restart() {
    unit_start "$1" "$2" "$3" wait
}

unit_reload() {
    unit_block wait
    unit_enable "$1"
    unit_do reload "$1"
    unit_stamp "$1" reload "$3"
}
