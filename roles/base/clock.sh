#!/bin/sh
# The clock is synchronised.
# REQUIRED: yes, or no to only tell.
if systemd-detect-virt --quiet --container; then
    echo "a container has the clock of its machine"
    exit 77
fi
synchronised=$(timedatectl show --property=NTPSynchronized --value 2>/dev/null)
if [ "$synchronised" = yes ]; then
    echo "the clock is synchronised"
    exit 0
fi
echo "the clock is not synchronised: install systemd-timesyncd or chrony"
[ "$REQUIRED" = yes ] || exit 77
exit 1
