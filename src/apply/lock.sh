# Holds the lock of this node while its standard input gives a line at least every 30 seconds.
umask 077
mkdir -p /run/deploy
exec 8>>/run/deploy/lock
if ! flock -n 8; then
    printf 'held %s\n' "$(cat /run/deploy/lock.owner 2>/dev/null)"
    exit 73
fi
printf '%s\n' "${OWNER:?}" >/run/deploy/lock.owner
echo locked
while timeout 30 sh -c 'read -r _' 8>&-; do :; done
rm -f /run/deploy/lock.owner
