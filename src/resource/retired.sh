# Units of roles that the node has lost; the stamps are those of unit.sh.

# retired_ours UNIT : it was started from here.
retired_ours() {
    [ -e "$UNIT_STAMPS/$1.restart" ] || [ -e "$UNIT_STAMPS/$1.reload" ]
}

# retired_probe UNIT
retired_probe() {
    retired_ours "$1" || return 0
    echo started=here
    systemctl show -p ActiveState -p UnitFileState "$1.service" |
        sed -n 's/^ActiveState=/active=/p; s/^UnitFileState=/enabled=/p'
}

# retired_asks UNIT FUNCTION ARGUMENT… : another probe, where the unit was started from here.
retired_asks() {
    retired_ours "$1" || return 0
    shift
    "$@"
}

# retired_stop UNIT : from now on it is whoever's who starts it.
retired_stop() {
    systemctl disable --quiet --now "$1.service"
    rm -f -- "$UNIT_STAMPS/$1.restart" "$UNIT_STAMPS/$1.reload"
}
