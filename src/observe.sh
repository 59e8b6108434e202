# The probe of a node. It changes nothing. A change that is under way is waited for, so that what is seen has settled.
# PostgreSQL's own programs before Debian's wrappers, which take longer than what they start.
for postgresql in /usr/lib/postgresql/*/bin; do PATH=$postgresql:$PATH; done
mkdir -p /run/deploy
exec 9>/run/deploy/apply.lock
flock -s -w 60 9 || echo 'another run is changing this node' >&2

observe_facts() {
    # shellcheck source=/dev/null
    (. /etc/os-release && printf 'os=%s\nversion=%s\n' "$ID" "$VERSION_ID")
    printf 'uid=%s\n' "$(id -u)"
    sed -n 's/^MemTotal: *\([0-9]*\) kB/ram_kib=\1/p' /proc/meminfo
    printf 'cores=%s\n' "$(nproc)"
    printf 'clock=%s\n' "$(date +%s)"
    printf 'hostname=%s\n' "$(uname -n)"
    printf 'addresses=%s\n' "$(ip -o address show scope global 2>/dev/null | awk '{ printf "%s,%s ", $2, $4 }')"
}

