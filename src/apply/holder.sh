# Who holds the lock of this node. lock.sh, which holds it, touches the owner's file every five seconds.
mkdir -p /run/deploy
exec 8>>/run/deploy/lock
holder_age() {
    echo $(($(date +%s) - $(stat -c %Y /run/deploy/lock.owner 2>/dev/null || echo 0)))
}
if flock -n 8; then
    [ "$RELEASE" = no ] || rm -f /run/deploy/lock.owner /run/deploy/lock.pid
    echo state=free
    exit
fi
printf 'owner=%s\nsilent=%s\n' "$(cat /run/deploy/lock.owner 2>/dev/null)" "$(holder_age)"
if [ "$RELEASE" = force ] || { [ "$RELEASE" = dead ] && [ "$(holder_age)" -ge "$DEAD_AFTER" ]; }; then
    holder=$(cat /run/deploy/lock.pid 2>/dev/null)
    # Not whoever else has got that number by now. While a command runs, dash keeps the lock under another number than 8.
    if [ -n "$(find "/proc/${holder:-0}/fd" -lname /run/deploy/lock 2>/dev/null)" ]; then kill "$holder"; fi
    if flock -w 5 8; then
        rm -f /run/deploy/lock.owner /run/deploy/lock.pid
        echo state=released
        exit
    fi
fi
echo state=held
