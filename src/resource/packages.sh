# packages: probe and apply. Sourced into the scripts of a run, never run by itself.

# packages_probe NAME… : prints NAME=VERSION for each that is fully installed.
packages_probe() {
    for packages_said in $(dpkg-query -W -f '${db:Status-Status}/${Package}=${Version}\n' "$@" 2>/dev/null); do
        case $packages_said in installed/*) echo "${packages_said#*/}" ;; esac
    done
}

# packages_get ARGUMENT… : apt-get, which waits for whoever else installs and keeps files as they are.
packages_get() {
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -q -y --no-install-recommends "$@"
}

# packages_mend : finishes what a run that was cut off has left half installed.
packages_mend() {
    [ -n "$(dpkg --audit)" ] || return 0
    packages_waits=60
    until packages_said=$(dpkg --configure -a --force-confold 2>&1); do
        # Unlike apt it does not wait for others itself.
        case $packages_said in *'lock was locked by'*) ;; *) break ;; esac
        packages_waits=$((packages_waits - 1))
        [ "$packages_waits" -gt 0 ] || break
        sleep 5
    done
    echo "$packages_said"
    [ -n "$(dpkg --audit)" ] || return 0
    packages_get -f install || { packages_get update && packages_get -f install; }
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
    packages_mend
    packages_get install "$@" || { packages_get update && packages_get -f install "$@"; }
}
