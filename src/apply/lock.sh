# Holds the lock of this node while its standard input gives a line at least every 30 seconds.
umask 077
[ -d /run/deploy ] || mkdir -p /run/deploy
exec 8>>/run/deploy/lock
# Whoever only looks who holds it has it for a moment.
if ! flock -w 1 8; then
    printf 'held %s\n' "$(cat /run/deploy/lock.owner 2>/dev/null)"
    exit 73
fi
printf '%s\n' "${OWNER:?}" >/run/deploy/lock.owner
printf '%s\n' "$$" >/run/deploy/lock.pid
# Now, and when a step last began or ended here, if one has since the machine was started.
# shellcheck disable=SC2046 # two numbers
echo locked $(stat -c %Y /run/deploy/lock.owner /run/deploy/apply.lock 2>/dev/null)
# Each line is a sign of life, and the owner's file says when the last one came.
while timeout 30 sh -c 'read -r _' 8>&-; do touch /run/deploy/lock.owner 8>&-; done
rm -f /run/deploy/lock.owner /run/deploy/lock.pid
