# The probe of a node. It changes nothing. A change that is under way is waited for, so that what is seen has settled.
# PostgreSQL's own programs before Debian's wrappers, which take longer than what they start.
for postgresql in /usr/lib/postgresql/*/bin; do PATH=$postgresql:$PATH; done
[ -d /run/deploy ] || mkdir -p /run/deploy
# The time of this file says when a step last was at work here.
[ -e /run/deploy/apply.lock ] || touch -d @0 /run/deploy/apply.lock
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
        Uid:) printf 'uid=%s\n' "$facts_value" && break ;;
        esac
    done </proc/self/status
    # Of the processors that could be plugged in it counts those that are there.
    printf 'cores=%s\n' "$(nproc)"
    printf 'clock=%s\n' "$(date +%s)"
    read -r facts_value </proc/sys/kernel/hostname
    printf 'hostname=%s\naddresses=' "$facts_value"
    ip -o address show scope global 2>/dev/null | while read -r _ facts_key _ facts_value _; do
        printf '%s,%s ' "$facts_key" "$facts_value"
    done
    echo
    # The last run here that did not end well, unless every check has held since. The names of runs begin with their time.
    facts_unproven=
    for facts_key in /var/lib/deploy/runs/*/; do
        facts_value=
        [ ! -r "${facts_key}result" ] || read -r facts_value <"${facts_key}result" || true
        facts_key=${facts_key%/}
        if [ -e "$facts_key/proven" ]; then
            facts_unproven=
        elif [ -d "$facts_key" ] && [ "$facts_value" != "done" ]; then
            facts_unproven=${facts_key##*/}
        fi
    done
    [ -z "$facts_unproven" ] || printf 'unproven=%s\n' "$facts_unproven"
}
