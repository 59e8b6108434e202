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

# retired_stop UNIT FILE… : from now on it is whoever's who starts it. The files it kept itself go with it.
retired_stop() {
    retired_unit=$1
    shift
    systemctl stop "$retired_unit.service"
    rm -f -- "$@"
    systemctl disable --quiet "$retired_unit.service"
    rm -f -- "$UNIT_STAMPS/$retired_unit.restart" "$UNIT_STAMPS/$retired_unit.reload"
}
