#!/bin/sh
# What no rule allows is dropped, in IPv4 and IPv6, now and after a reboot.
drops() {
    policy=$("$1" -w 5 -S INPUT 2>&1 | sed -n 1p)
    if [ "$policy" != "-P INPUT DROP" ]; then
        echo "$2 does not drop by default: $policy"
        exit 1
    fi
}
drops iptables IPv4
if [ -e /proc/net/if_inet6 ]; then
    drops ip6tables IPv6
fi
if ! systemctl is-enabled --quiet deploy-firewall.service; then
    echo "deploy-firewall.service is not enabled: a reboot would open the node"
    exit 1
fi
echo "input is dropped by default"
