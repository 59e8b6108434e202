# The probe of a node. It changes nothing. A change that is under way is waited for, so that what is seen has settled.
# PostgreSQL's own programs before Debian's wrappers, which take longer than what they start.
for postgresql in /usr/lib/postgresql/*/bin; do PATH=$postgresql:$PATH; done
[ -d /run/deploy ] || mkdir -p /run/deploy
exec 9>>/run/deploy/apply.lock
flock -s -w 60 9 || echo 'another run is changing this node' >&2

# What the shell can read itself takes no process: a probe is mostly processes.
observe_facts() {
    # shellcheck source=/dev/null
    (. /etc/os-release && printf 'os=%s\nversion=%s\n' "$ID" "$VERSION_ID")
    while read -r facts_key facts_value _; do
        case $facts_key in
        MemTotal:) printf 'ram_kib=%s\n' "$facts_value" && break ;;
        esac
    done </proc/meminfo
    while read -r facts_key facts_value _; do
        case $facts_key in
        Uid:) printf 'uid=%s\n' "$facts_value" ;;
        Cpus_allowed_list:) observe_cores "$facts_value" && break ;;
        esac
    done </proc/self/status
    printf 'clock=%s\n' "$(date +%s)"
    read -r facts_value </proc/sys/kernel/hostname
    printf 'hostname=%s\naddresses=' "$facts_value"
    ip -o address show scope global 2>/dev/null | while read -r _ facts_key _ facts_value _; do
        printf '%s,%s ' "$facts_key" "$facts_value"
    done
    echo
}

# observe_cores LIST : how many processors `0-3,6` are.
observe_cores() {
    facts_cores=0
    IFS=,
    for facts_range in $1; do
        facts_cores=$((facts_cores + ${facts_range#*-} - ${facts_range%-*} + 1))
    done
    unset IFS
    printf 'cores=%s\n' "$facts_cores"
}
