# packages: probe and apply. Sourced into the scripts of a run, never run by itself.

# packages_probe NAME… : prints NAME=VERSION for each that is fully installed.
packages_probe() {
    dpkg-query -W -f '${db:Status-Status} ${Package}=${Version}\n' "$@" 2>/dev/null | sed -n 's/^installed //p'
}

# packages_configure : finishes what was left half installed; whoever else installs now is waited for. What is then still
# wrong, for want of other packages, apt mends or names.
packages_configure() {
    packages_waits=60
    until packages_said=$(dpkg --configure -a --force-confold 2>&1); do
        case $packages_said in *'lock was locked by'*) ;; *) break ;; esac
        packages_waits=$((packages_waits - 1))
        [ "$packages_waits" -gt 0 ] || break
        sleep 5
    done
    echo "$packages_said"
}

# packages_apply "UNIT…" NAME… : installs what is missing; the units stay masked until their role starts them.
packages_apply() {
    packages_masked=
    for unit in $1; do
        systemctl cat "$unit.service" >/dev/null 2>&1 || packages_masked="$packages_masked $unit.service"
    done
    # shellcheck disable=SC2086 # a list of names
    [ -z "$packages_masked" ] || systemctl mask --quiet $packages_masked
    shift
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
    packages_wait='-o DPkg::Lock::Timeout=300'
    if [ -n "$(dpkg --audit)" ]; then
        packages_configure
    fi
    # shellcheck disable=SC2086 # one option
    if ! apt-get $packages_wait -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@"; then
        apt-get $packages_wait -q update
        apt-get $packages_wait -q -y --no-install-recommends -o Dpkg::Options::=--force-confold -f install "$@"
    fi
}

