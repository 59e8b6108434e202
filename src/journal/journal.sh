# the journals of runs, as steps leave them on each node.

JOURNALS=/var/lib/deploy/runs

# journal_plan PLAN : what has become here of this saved plan: begun, done, or overtaken by a run of something else; nothing where
# no run of it has begun. The names of runs begin with their time.
journal_plan() {
    journal_of_plan=$(grep -lsxF "plan=$1" "$JOURNALS"/*/about) || return 0
    journal_state=''
    for journal_about in "$JOURNALS"/*/about; do
        case "
$journal_of_plan
" in
        *"
$journal_about
"*)
            journal_state=begun
            journal_result=''
            if [ -r "${journal_about%about}result" ]; then
                read -r journal_result <"${journal_about%about}result" || true
            fi
            if [ "$journal_result" = "done" ]; then journal_state='done'; fi
            ;;
        *) [ -z "$journal_state" ] || journal_state=overtaken ;;
        esac
    done
    printf 'state=%s\n' "$journal_state"
}

# journal_run RUN : a line for everything that is known of it: RUN, key, value.
journal_run() {
    [ -f "$JOURNALS/$1/journal" ] || return 0
    sed "s/^/$1 /; s/=/ /" "$JOURNALS/$1/about" 2>/dev/null
    awk -v run="$1" '
        NR == 1 { print run, "first", $1 }
        /: [0-9]+$/ { calls++; if ($NF != 0) failed++ }
        { last = $1 }
        END { print run, "last", last; print run, "calls", calls + 0; print run, "failed", failed + 0 }
    ' "$JOURNALS/$1/journal"
    [ ! -f "$JOURNALS/$1/result" ] || printf '%s result %s\n' "$1" "$(head -n 1 "$JOURNALS/$1/result")"
}

# journal_runs : the same of every run.
journal_runs() {
    for journal_folder in "$JOURNALS"/*/; do
        journal_run "$(basename "$journal_folder")"
    done
}

# journal_show RUN : the same with its plan and its journal here.
journal_show() {
    journal_run "$1"
    sed "s/^/$1 change /" "$JOURNALS/$1/plan" 2>/dev/null
    sed "s/^/$1 line /" "$JOURNALS/$1/journal" 2>/dev/null
}

# journal_wanted RUN : what it wanted.
journal_wanted() {
    cat "$JOURNALS/$1/wanted" 2>/dev/null
}

# journal_proven : what the last run has left here holds, by all checks of the cluster.
journal_proven() {
    for journal_folder in "$JOURNALS"/*; do :; done
    [ ! -d "$journal_folder" ] || : >"$journal_folder/proven"
}

# journal_end RUN RESULT : how it ended, on nodes where it has done something. After one that ended well nobody needs what
# files were like before it; copies of those that not everybody could read, keys and passwords, are taken away, of this run and
# of those before it. The names of runs begin with their time.
journal_end() {
    [ -d "$JOURNALS/$1" ] || return 0
    printf '%s\n' "$2" >"$JOURNALS/$1/result"
    if [ "$2" != "done" ]; then
        # Whoever called it proven did so while it was under way.
        rm -f "$JOURNALS/$1/proven"
        return 0
    fi
    journal_ended=$JOURNALS/$1
    set --
    for journal_folder in "$JOURNALS"/*; do
        set -- "$@" "$journal_folder/files"
        [ "$journal_folder" != "$journal_ended" ] || break
    done
    find "$@" -type f ! -perm -o=r -delete 2>/dev/null
}
