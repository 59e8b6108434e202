# One step of a run on one node. What it does is idempotent; the run that follows a killed one finishes it.
umask 077
# PostgreSQL's own programs before Debian's wrappers, which take longer than what they start.
for postgresql in /usr/lib/postgresql/*/bin; do PATH=$postgresql:$PATH; done
RUN_DIR=/var/lib/deploy/runs/$RUN_ID
# What a call says is kept in memory: the disk may be what is wrong.
STEP_OUTPUT=/run/deploy/output.$$
if ! step_said=$(mkdir -p /run/deploy "$RUN_DIR" 2>&1); then
    printf '! 0 1\n| %s\n' "$step_said"
    exit 1
fi
# The time of this file says when a step last was at work here: it is emptied now and when it ends.
trap 'rm -f "$STEP_OUTPUT"; : >/run/deploy/apply.lock' EXIT
# Without this one, dash would not come to that one where a signal ends it.
trap 'exit 1' HUP INT TERM PIPE
exec 9>/run/deploy/apply.lock
if ! flock -w 300 9; then
    echo '| another step has been running on this node for five minutes'
    exit 1
fi
STEP_LINE='
'
# The folders of the last twenty runs are kept. Their names begin with their time.
set -- /var/lib/deploy/runs/*
while [ $# -gt 20 ]; do
    [ "$1" = "$RUN_DIR" ] || rm -rf "${1:?}"
    shift
done
[ -e "$RUN_DIR/about" ] || printf '%s\nfrom=%s\n' "$RUN_ABOUT" "${SSH_CONNECTION%% *}" >"$RUN_DIR/about"
[ -e "$RUN_DIR/wanted" ] || printf '%s\n' "$RUN_WANTED" >"$RUN_DIR/wanted"
[ -z "$STEP_PLAN" ] || printf '%s\n' "$STEP_PLAN" >>"$RUN_DIR/plan"
# step_uptime : hundredths of a second since the machine was started, into STEP_UPTIME. The 1 in front keeps a leading
# 0 from making an octal number.
step_uptime() {
    read -r STEP_UPTIME _ </proc/uptime
    STEP_UPTIME=$((${STEP_UPTIME%.*} * 100 + 1${STEP_UPTIME#*.} - 100))
}

# step_clock : asks the clock.
step_clock() {
    step_said=$(date -u '+%F %s')
    STEP_DATE=${step_said% *}
    STEP_CLOCK=${step_said#* }
    step_uptime
    STEP_BEGUN=$STEP_UPTIME
}

# journal FORMAT ARGUMENT… : a line with its time. What has passed since the clock was asked, the kernel says without a process.
journal() {
    step_format=$1
    shift
    step_uptime
    step_time=$((STEP_CLOCK + (STEP_UPTIME - STEP_BEGUN) / 100))
    if [ $((step_time / 86400)) -gt $((STEP_CLOCK / 86400)) ]; then
        step_clock
        step_time=$STEP_CLOCK
    fi
    # shellcheck disable=SC2059 # the rest of the format
    printf "%sT%02d:%02d:%02dZ %s $step_format\n" "$STEP_DATE" $((step_time / 3600 % 24)) $((step_time / 60 % 60)) \
        $((step_time % 60)) "$PHASE" "$@" >>"$RUN_DIR/journal"
}

# act NUMBER FUNCTION ARGUMENT… : makes one call of a change; when it fails, its last lines go back and the step ends.
act() {
    act_number=$1
    shift
    printf '> %s\n' "$act_number"
    step_uptime
    act_begun=$STEP_UPTIME
    (
        umask 022
        set -e
        "$@"
    ) >"$STEP_OUTPUT" 2>&1 9>&-
    act_status=$?
    step_uptime
    act_took=$((STEP_UPTIME - act_begun))
    act_about=${2:-}
    journal '%d.%02d s %s %.80s: %s' $((act_took / 100)) $((act_took % 100)) \
        "$1" "${act_about%%"$STEP_LINE"*}" "$act_status"
    if [ $act_status -ne 0 ]; then
        printf '! %s %s\n' "$act_number" "$act_status"
        tail -n 25 "$STEP_OUTPUT" | sed 's/^/| /'
        # A shell's own words for it are "I/O error".
        df -P / "$RUN_DIR" 2>/dev/null | awk 'NR > 1 && $4 == 0 && !seen[$6]++ { print "| No space left on device: " $6 }'
        # What did not go live is taken away again.
        if [ -f "$RUN_DIR/staged" ]; then
            while read -r staged; do rm -f -- "$staged"; done <"$RUN_DIR/staged"
        fi
        exit 1
    fi
}

done_with() {
    printf '= %s\n' "$1"
}

finish() {
    journal 'done'
    echo '. done'
}

step_clock
journal 'begins'

