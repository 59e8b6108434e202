# the packet filter: probe, apply with a timed take-back, confirm.

FIREWALL_DIR=/etc/deploy
FIREWALL_STAMP=/var/lib/deploy/firewall.live

# firewall_live : what is loaded of ours and the policies, without counters.
firewall_live() {
    firewall_hash=$({ iptables-save -t filter; ip6tables-save -t filter; } 2>/dev/null |
        sed -n 's/ \[[0-9:]*\]$//; /^:INPUT\|^:FORWARD\|DEPLOY-/p' | sha256sum)
    echo "${firewall_hash%% *}"
}

# firewall_probe V4 V6 : the files of the rules for the next boot, and whether those that are loaded are the confirmed ones.
firewall_probe() {
    for family in v4 v6; do
        path_hash "$1"
        [ -z "$PATH_HASH" ] || printf '%s=%s\n' $family "$PATH_HASH"
        shift
    done
    if [ -f $FIREWALL_STAMP ]; then
        read -r firewall_stamp <$FIREWALL_STAMP
        if [ "$firewall_stamp" = "$(firewall_live)" ]; then echo live=same; else echo live=differs; fi
    fi
}

firewall_fetch() {
    printf 'content=%s\n' "$(cat $FIREWALL_DIR/firewall.v4 $FIREWALL_DIR/firewall.v6 2>/dev/null | base64 -w0)"
}

# firewall_apply SECONDS V4 V6 : loads the rules and sets the timer that takes them back.
firewall_apply() {
    iptables-restore --test --noflush <"$2"
    ip6tables-restore --test --noflush <"$3"
    mkdir -p /run/deploy /var/lib/deploy
    # Where a killed run left rules that nobody confirmed, the old ones are still those of before it.
    if systemctl is-active --quiet deploy-firewall-revert.timer; then
        systemctl stop deploy-firewall-revert.timer
    else
        iptables-save -t filter >/run/deploy/firewall.old4
        ip6tables-save -t filter >/run/deploy/firewall.old6
    fi
    cp "$2" /run/deploy/firewall.v4
    cp "$3" /run/deploy/firewall.v6
    # Default drop would cut connections that the kernel has not tracked: let it see them first.
    if ! grep -q ctstate /run/deploy/firewall.old4 && systemctl is-active --quiet etcd patroni haproxy pgbouncer; then
        for command in iptables ip6tables; do
            $command -w 5 -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
        done
        sleep 15
    fi
    # A timer is a minute late unless it is told not to be.
    systemd-run --quiet --collect --unit=deploy-firewall-revert --on-active="$1" --timer-property=AccuracySec=100ms \
        /bin/sh -c \
        'iptables-restore -w 5 </run/deploy/firewall.old4; ip6tables-restore -w 5 </run/deploy/firewall.old6'
    iptables-restore -w 5 --noflush <"$2"
    ip6tables-restore -w 5 --noflush <"$3"
    for command in iptables ip6tables; do
        while $command -w 5 -D INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT 2>/dev/null; do :; done
        while [ "$($command -w 5 -S INPUT | grep -c -- '-j DEPLOY-INPUT')" -gt 1 ]; do
            $command -w 5 -D INPUT -j DEPLOY-INPUT
        done
    done
    firewall_live >/run/deploy/firewall.loaded
}

# firewall_confirm : run over a new connection; the rules stay, and come back at boot. Where others have been loaded since, that
# connection says nothing of ours, and the timer goes on.
firewall_confirm() {
    [ -f /run/deploy/firewall.v4 ] || return 1
    if [ "$(firewall_live)" != "$(cat /run/deploy/firewall.loaded)" ]; then
        echo "other rules have been loaded since"
        return 1
    fi
    systemctl stop deploy-firewall-revert.timer
    mkdir -p $FIREWALL_DIR /var/lib/deploy
    for family in v4 v6; do
        install -m 0600 /run/deploy/firewall.$family $FIREWALL_DIR/firewall.$family.new
        mv $FIREWALL_DIR/firewall.$family.new $FIREWALL_DIR/firewall.$family
        rm /run/deploy/firewall.$family
    done
    mv /run/deploy/firewall.loaded $FIREWALL_STAMP
}

