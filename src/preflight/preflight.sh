# What a node is asked before any change. It changes nothing; every answer is a line `key=value`.
export LC_ALL=C.UTF-8
# First of all, so that the moment of its arrival says how far the clocks are apart.
printf 'clock=%s\n' "$(date +%s.%N)"

preflight_system() {
    printf 'disk=%s\n' "$(df -Pk /var | awk 'NR == 2 { print $4 }')"
    if getent hosts "$(uname -n)" >/dev/null; then echo named=yes; else echo named=no; fi
    # What a machine was made with outranks the file by which the role base forbids it.
    if grep -Eqs '^manage_etc_hosts: *(true|True|template)' /var/lib/cloud/instance/user-data.txt; then echo hosts_of_cloud=yes; fi
}

# preflight_filters : what else loads rules of the packet filter at boot.
preflight_filters() {
    for preflight_unit in nftables netfilter-persistent firewalld ufw; do
        for preflight_link in /etc/systemd/system/*.wants/"$preflight_unit.service"; do
            [ -L "$preflight_link" ] || continue
            if [ "$preflight_unit" = ufw ] && ! grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then continue; fi
            printf 'filter=%s\n' "$preflight_unit"
        done
    done
}

# preflight_mount DIRECTORY : what is mounted there, with its options and free KiB.
preflight_mount() {
    if ! mountpoint -q -- "$1"; then
        echo mount=none
        return
    fi
    printf 'mount=%s\n' "$(df -Pk -- "$1" | awk 'NR == 2 { print $4 }')"
    printf 'mount_options=%s\n' "$(findmnt -n -o OPTIONS --mountpoint "$1" | tail -n 1)"
}

# preflight_listeners : each port that is listened on, with the process and its unit.
preflight_listeners() {
    if ! command -v ss >/dev/null; then
        echo listeners=unknown
        return
    fi
    ss -Hltnp | while read -r _ _ _ preflight_local _ preflight_users; do
        preflight_process=${preflight_users#*\"}
        preflight_pid=${preflight_users#*pid=}
        preflight_unit=$(sed -n 's|.*/\([^/]*\)\.service$|\1|p' "/proc/${preflight_pid%%,*}/cgroup" 2>/dev/null | head -n 1)
        printf 'listen=%s %s %s\n' "${preflight_local##*:}" "${preflight_process%%\"*}" "$preflight_unit"
    done
}

# preflight_packages NAME… : the version that apt would install of each, from the lists that it has.
preflight_packages() {
    for preflight_list in /var/lib/apt/lists/*_Packages*; do :; done
    if [ -e "$preflight_list" ]; then echo lists=yes; else echo lists=no; fi
    apt-cache policy "$@" 2>/dev/null |
        awk '/^[^ ]/ { sub(/:$/, "", $1); name = $1 } $1 == "Candidate:" { print "candidate=" name " " $2 }'
}

# preflight_upgrades : whether packages are upgraded behind our back, and which are left out of it.
preflight_upgrades() {
    dpkg-query -W -f '${db:Status-Status}\n' unattended-upgrades 2>/dev/null | grep -qx installed || return 0
    apt-config dump | sed -n \
        's/^APT::Periodic::Unattended-Upgrade "\(.*\)";/upgrades=\1/p
         s/^Unattended-Upgrade::Package-Blacklist:: "\(.*\)";/left_out=\1/p'
}

