# the journals of runs, as steps leave them on each node.

# journal_plan PLAN : whether a run of this saved plan has begun here.
journal_plan() {
    if grep -qsxF "plan=$1" /var/lib/deploy/runs/*/about; then echo begun=yes; fi
}

# journal_runs : a line for everything that is known of each run: RUN, key, value.
journal_runs() {
    for journal_run in /var/lib/deploy/runs/*/; do
        [ -f "${journal_run}journal" ] || continue
        journal_name=$(basename "$journal_run")
        sed "s/^/$journal_name /; s/=/ /" "${journal_run}about" 2>/dev/null
        awk -v run="$journal_name" '
            NR == 1 { print run, "first", $1 }
            /: [0-9]+$/ { calls++; if ($NF != 0) failed++ }
            { last = $1 }
            END { print run, "last", last; print run, "calls", calls + 0; print run, "failed", failed + 0 }
        ' "${journal_run}journal"
        [ ! -f "${journal_run}result" ] || printf '%s result %s\n' "$journal_name" "$(head -n 1 "${journal_run}result")"
    done
}

# journal_show RUN : its journal here.
journal_show() {
    cat "/var/lib/deploy/runs/$1/journal" 2>/dev/null
}

# journal_wanted RUN : what it wanted.
journal_wanted() {
    cat "/var/lib/deploy/runs/$1/wanted" 2>/dev/null
}

# journal_end RUN RESULT : how it ended, on nodes where it has done something.
journal_end() {
    if [ -d "/var/lib/deploy/runs/$1" ]; then printf '%s\n' "$2" >"/var/lib/deploy/runs/$1/result"; fi
}
