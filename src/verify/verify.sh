# Runs checks until they hold or their time is up. They change nothing but rows of their own table.
umask 077
# PostgreSQL's own programs before Debian's wrappers, which take longer than what they start.
for postgresql in /usr/lib/postgresql/*/bin; do PATH=$postgresql:$PATH; done

NL='
'

# uptime : in UPTIME the seconds since the machine was started.
uptime() {
    read -r UPTIME _ </proc/uptime
    UPTIME=${UPTIME%.*}
}

# repeat NUMBER SECONDS : prints the number, the last status and the last line of the check.
repeat() {
    uptime
    repeat_end=$((UPTIME + $2))
    repeat_pause=0.4
    while :; do
        repeat_said=$("check_$1" 2>&1)
        repeat_status=$?
        uptime
        if [ $repeat_status -eq 0 ] || [ $repeat_status -eq 77 ] || [ "$UPTIME" -ge $repeat_end ]; then break; fi
        sleep $repeat_pause
        # Whoever waits longer need not ask as often: what is waited for wants the processor too.
        repeat_pause=0.7
    done
    printf '#%s %s %s\n' "$1" "$repeat_status" "${repeat_said##*"$NL"}"
}

