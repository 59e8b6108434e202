# Runs a machine until it is powered off: systemd-nspawn ends with 133 when the machine asks for a reboot.
while :; do
    status=0
    "$@" || status=$?
    [ "$status" -eq 133 ] || exit "$status"
done
