# systemd units: probe and apply.

UNIT_STAMPS=/var/lib/deploy/units

# What systemd has said of all units that a script asks about: a line `UNIT ACTIVE ENABLED SINCE` each.
UNITS_STATE=''

# units_state UNIT… : from now on unit_state knows these. A list costs systemd a fraction of what it takes to show a unit, and of
# one that runs and starts at boot no more is to be known.
units_state() {
    UNITS_STATE=''
    units_active=$NL
    while read -r unit_name _ unit_active _; do
        [ "$unit_active" != active ] || units_active="$units_active$unit_name$NL"
    done <<END
$(systemctl list-units --all --plain --full --no-legend -- "$@")
END
    for unit do
        shift
        case $units_active in
        *"$NL$unit$NL"*)
            if unit_at_boot "$unit"; then
                UNITS_STATE="$UNITS_STATE$unit active enabled -$NL"
                continue
            fi
            ;;
        esac
        set -- "$@" "$unit"
    done
    [ $# -eq 0 ] || units_show "$@"
}

# unit_at_boot UNIT : whether an administrator's link starts it, and none is in the place of its file, as of one that is masked.
unit_at_boot() {
    if [ -L "/etc/systemd/system/$1" ] || [ -L "/run/systemd/system/$1" ]; then return 1; fi
    for unit_link in /etc/systemd/system/*.wants/"$1" /etc/systemd/system/*.requires/"$1"; do
        if [ -L "$unit_link" ]; then return 0; fi
    done
    return 1
}

# units_show UNIT… : the same of these, as systemd itself shows them, in the order of the question.
units_show() {
    unit_active=''
    unit_enabled=''
    unit_since=''
    while read -r unit_line; do
        case $unit_line in
        ActiveState=*) unit_active=${unit_line#*=} ;;
        UnitFileState=*) unit_enabled=${unit_line#*=} ;;
        StateChangeTimestamp=@*) unit_since=${unit_line#*@} ;;
        esac
        if [ -z "$unit_line" ] && [ $# -gt 0 ]; then
            # It may remember what was before the link.
            if unit_at_boot "$1"; then unit_enabled=enabled; fi
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
    line_of "$UNITS_STATE" "$1.service " ''
    if [ -z "$LINE" ]; then
        # No other question is about it.
        LINE=$(systemctl is-active "$1.service")
        UNITS_STATE="$UNITS_STATE$1.service $LINE - -$NL"
    fi
    case ${LINE%% *} in active | reloading) ;; *) return 1 ;; esac
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

# What is known of the units that a step is about to touch: a line `UNIT ACTIVE ENABLED` each, the last word `stale` where
# systemd has not read their files, the first `settled` where it need not be asked.
UNITS_READY=''

# units_ready [UNIT "RESTART FILE…" "RELOAD FILE…"]… : from now on the functions below know these units, and what is in their
# files.
units_ready() {
    unit_files=''
    for unit_words do unit_files="$unit_files $unit_words"; done
    # shellcheck disable=SC2086 # a list of paths without spaces; no unit has the name of a file here
    paths_hash $unit_files
    UNITS_READY=''
    units_asked=''
    while [ $# -gt 0 ]; do
        if unit_settled "$1" "$2" "$3"; then
            UNITS_READY="$UNITS_READY$1.service settled enabled$NL"
        else
            units_asked="$units_asked $1.service"
        fi
        shift 3
    done
    # shellcheck disable=SC2086 # a list of names
    [ -z "$units_asked" ] || units_loaded $units_asked
}

# unit_settled UNIT "RESTART FILE…" "RELOAD FILE…" : it starts at boot, the files that systemd reads are what they were when it was
# last started here, and none of them has been written since, so that systemd knows them: it may know others that were there in
# between, and the clock may have been wrong.
unit_settled() {
    unit_at_boot "$1.service" || return 1
    [ -r "$UNIT_STAMPS/$1.restart" ] || return 1
    for unit_file in "/etc/systemd/system/$1.service" "/etc/systemd/system/$1.service.d" \
        "/etc/systemd/system/$1.service.d/"* $2 $3; do
        case $unit_file in /etc/systemd/*) ;; *) continue ;; esac
        # shellcheck disable=SC3013 # Debian's sh has it
        if [ "$unit_file" -nt "$UNIT_STAMPS/$1.restart" ]; then return 1; fi
    done
    read -r unit_started <"$UNIT_STAMPS/$1.restart"
    unit_started="$unit_started end"
    unit_known "$2"
    UNIT_KNOWN="$UNIT_KNOWN end"
    for unit_file in $2; do
        case $unit_file in
        /etc/systemd/*) [ "${UNIT_KNOWN%% *}" = "${unit_started%% *}" ] || return 1 ;;
        esac
        UNIT_KNOWN=${UNIT_KNOWN#* }
        unit_started=${unit_started#* }
    done
    [ "$UNIT_KNOWN" = "$unit_started" ]
}

# units_loaded UNIT… : asks systemd about these.
units_loaded() {
    unit_active=''
    unit_enabled=''
    while read -r unit_line; do
        case $unit_line in
        ActiveState=*) unit_active=${unit_line#*=} ;;
        UnitFileState=*) unit_enabled=${unit_enabled:-${unit_line#*=}} ;;
        NeedDaemonReload=yes) unit_enabled=stale ;;
        esac
        if [ -z "$unit_line" ] && [ $# -gt 0 ]; then
            UNITS_READY="$UNITS_READY$1 ${unit_active:--} ${unit_enabled:--}$NL"
            unit_active=''
            unit_enabled=''
            shift
        fi
    done <<END
$(systemctl show -p ActiveState -p UnitFileState -p NeedDaemonReload -- "$@")

END
}

# unit_stamp UNIT TAKES KNOWN : the service now runs with files of these hashes. They were read before it was told: what changed
# in between is found to be newer.
unit_stamp() {
    [ -d $UNIT_STAMPS ] || mkdir -p $UNIT_STAMPS
    printf '%s\n' "$3" >"$UNIT_STAMPS/$1.$2"
}

# unit_do VERB UNIT : on failure the unit's own last words follow.
unit_do() {
    # shellcheck disable=SC2086 # one option or none
    if systemctl $UNIT_BLOCK "$1" "$2.service"; then return; fi
    if [ "$(systemctl show -P Result "$2.service")" = start-limit-hit ]; then
        # It was started too often before; this once is none of those.
        systemctl reset-failed "$2.service"
        # shellcheck disable=SC2086 # one option or none
        if systemctl $UNIT_BLOCK "$1" "$2.service"; then return; fi
    fi
    echo "systemctl $1 $2 failed; the last lines of its journal:"
    journalctl -q --no-pager -o cat -n 20 -u "$2.service"
    return 1
}

unit_block() {
    if [ "$1" = no-block ]; then UNIT_BLOCK=--no-block; else UNIT_BLOCK=; fi
}

# unit_enable UNIT : it may start, does so at boot, and systemd knows its files as they are now. A reload runs all of systemd's
# generators, so there is one at most, and none where it would find nothing new: with SYSTEMD_OFFLINE systemctl only makes
# links, and so does the one that Debian's helper for init scripts calls. What else lets it start at boot tells `is-enabled`.
unit_enable() {
    line_of "$UNITS_READY" "$1.service " ''
    unit_active=${LINE%% *}
    [ "${LINE#* }" != enabled ] || return 0
    unit_stale=''
    if [ -L "/etc/systemd/system/$1.service" ] && [ "$(readlink "/etc/systemd/system/$1.service")" = /dev/null ]; then
        SYSTEMD_OFFLINE=1 systemctl unmask --quiet "$1.service"
        unit_stale=yes
    fi
    systemctl is-enabled --quiet "$1.service" 2>/dev/null || SYSTEMD_OFFLINE=1 systemctl enable --quiet "$1.service"
    [ -n "$unit_stale" ] || unit_stale=$(systemctl show -P NeedDaemonReload "$1.service")
    [ "$unit_stale" = no ] || systemctl daemon-reload
}

# unit_start UNIT "RESTART FILE…" "RELOAD FILE…" wait|no-block [runs]
unit_start() {
    unit_block "$4"
    unit_enable "$1"
    # It may have been started too often before, and nobody hears of a start that is not waited for.
    case $unit_active${5:-} in
    activeruns | settledruns) ;;
    *) systemctl reset-failed "$1.service" 2>/dev/null || true ;;
    esac
    unit_known "$2"
    unit_restart=$UNIT_KNOWN
    unit_known "$3"
    unit_do restart "$1"
    unit_stamp "$1" restart "$unit_restart"
    unit_stamp "$1" reload "$UNIT_KNOWN"
}

# A service that runs and is restarted has its peers: its restart is waited for, so that the next node comes after it.
unit_restart() {
    unit_start "$1" "$2" "$3" wait runs
}

# unit_reload UNIT "RESTART FILE…" "RELOAD FILE…" wait|no-block [ADDRESS:PORT CERTIFICATE] : and again until that certificate is
# served there. One that never is will be told of by its check, and has not been taken.
unit_reload() {
    unit_block wait
    unit_enable "$1"
    unit_known "$3"
    unit_do reload "$1"
    if [ $# -gt 4 ]; then
        unit_tries=0
        until unit_shows "$5" "$6"; do
            [ $unit_tries -lt 25 ] || return 0
            unit_tries=$((unit_tries + 1))
            sleep 1
            [ $((unit_tries % 3)) -ne 0 ] || unit_do reload "$1"
        done
    fi
    unit_stamp "$1" reload "$UNIT_KNOWN"
}

# unit_shows ADDRESS:PORT CERTIFICATE : whether it is served there.
unit_shows() {
    unit_served=$(timeout 8 openssl s_client -connect "$1" </dev/null 2>/dev/null | openssl x509 2>/dev/null)
    [ "$unit_served" = "$(openssl x509 -in "$2")" ]
}
