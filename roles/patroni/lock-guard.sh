#!/bin/sh
# Patroni cannot take back a leader lock that it lost: by itself from 4 on, and with the guard of deploy in 3.0.
version=$(dpkg-query --show --showformat='${Version}' patroni)
case $version in
    3.0.*) ;;
    *)
        echo "Patroni $version asks who holds the lock"
        exit 0
        ;;
esac
pid=$(systemctl show --property=MainPID --value patroni.service)
if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q patroni_safe.py; then
    echo "Patroni $version runs with the guard of the leader lock"
    exit 0
fi
echo "Patroni $version runs without the guard: a leader that freezes and thaws could overwrite its successor"
exit 1
