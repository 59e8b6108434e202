# files and directories: probe and apply.

NL='
'

# What stat and sha256sum have said of all paths that a script asks about, in one process each.
PATHS_STAT=''
PATHS_HASH=''

# paths_stat PATH… : from now on path_stat knows these.
paths_stat() {
    PATHS_STAT=$(stat -c '%n//%U:%G %a %Y %Z' -- "$@" 2>/dev/null)
}

# paths_hash PATH… : from now on path_hash knows those of them that are files.
paths_hash() {
    for path do
        shift
        if [ -f "$path" ]; then set -- "$@" "$path"; fi
    done
    PATHS_HASH=''
    [ $# -eq 0 ] || PATHS_HASH=$(sha256sum -- "$@")
}

# line_of LINES START END : in LINE what is between them in the first line that begins and ends so; empty where none does.
# Line by line, because the shell needs the square of a text's length to cut something out of its middle.
line_of() {
    LINE=''
    IFS=$NL
    set -f
    for line in $1; do
        case $line in
        "$2"*"$3")
            LINE=${line#"$2"}
            LINE=${LINE%"$3"}
            break
            ;;
        esac
    done
    set +f
    unset IFS
}

# path_stat PATH : in PATH_OWNER, PATH_MODE and PATH_TIMES (of its content, of itself) what is known of one that is there.
path_stat() {
    line_of "$PATHS_STAT" "$1//" ''
    [ -n "$LINE" ] || LINE=$(stat -c '%U:%G %a %Y %Z' -- "$1")
    PATH_OWNER=${LINE%% *}
    LINE=${LINE#* }
    PATH_MODE=${LINE%% *}
    PATH_TIMES=${LINE#* }
}

# path_hash PATH : in PATH_HASH the hash of a file; empty where there is none.
path_hash() {
    line_of "$PATHS_HASH" '' "  $1"
    PATH_HASH=$LINE
    if [ -z "$PATH_HASH" ] && [ -f "$1" ]; then
        PATH_HASH=$(sha256sum <"$1")
        PATH_HASH=${PATH_HASH%% *}
    fi
}

directory_probe() {
    [ -d "$1" ] || return 0
    path_stat "$1"
    printf 'owner=%s\nmode=%s\n' "$PATH_OWNER" "$PATH_MODE"
}

# directory_apply PATH OWNER MODE
directory_apply() {
    [ -d "$1" ] || mkdir -p -- "$1"
    chown -- "$2" "$1"
    # The further 0 takes away what a setgid folder above has given it.
    chmod -- "0$3" "$1"
}

# Where it is kept what a file was like when it was last written here: hash, owner, mode.
FILE_WRITTEN=/var/lib/deploy/written

file_probe() {
    file_written=''
    [ -r "$FILE_WRITTEN$1" ] && read -r file_written <"$FILE_WRITTEN$1"
    [ -z "$file_written" ] || printf 'written=%s\n' "$file_written"
    if [ -f "$1" ] && [ ! -L "$1" ]; then
        path_stat "$1"
        path_hash "$1"
        printf 'owner=%s\nmode=%s\nmtime=%s\nctime=%s\nsha256=%s\n' \
            "$PATH_OWNER" "$PATH_MODE" "${PATH_TIMES% *}" "${PATH_TIMES#* }" "$PATH_HASH"
    fi
}

file_fetch() {
    [ -f "$1" ] && [ "$(stat -c %s -- "$1")" -lt 1000000 ] && printf 'content=%s\n' "$(base64 -w0 <"$1")"
}

# file_stage PATH OWNER MODE PAYLOAD : writes the new content beside the old, readable by its owner alone.
file_stage() {
    [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"
    printf '%s\n' "$1.deploy-new" >>"$RUN_DIR/staged"
    # It opens the file for its owner alone, and sets the mode last.
    install -o "${2%%:*}" -g "${2#*:}" -m "$3" -T -- "$4" "$1.deploy-new"
}

# file_validate PATH COMMAND : runs the command with %s replaced by the staged file.
file_validate() {
    sh -c "$(printf '%s' "$2" | sed "s|%s|$1.deploy-new|g")"
}

# file_commit PATH : keeps the old file under the run's folder and puts the new one in its place, durably. Its hash is then in
# FILE_HASH.
file_commit() {
    if [ -e "$1" ]; then
        [ -d "$RUN_DIR/files${1%/*}" ] || mkdir -p -- "$RUN_DIR/files${1%/*}"
        [ -e "$RUN_DIR/files$1" ] || cp -a -- "$1" "$RUN_DIR/files$1"
    fi
    if [ -L "$1" ]; then rm -f -- "$1"; fi
    sync -- "$1.deploy-new"
    FILE_HASH=$(sha256sum <"$1.deploy-new")
    FILE_HASH=${FILE_HASH%% *}
    [ -d "$FILE_WRITTEN${1%/*}" ] || mkdir -p -- "$FILE_WRITTEN${1%/*}"
    printf '%s %s\n' "$FILE_HASH" "$(stat -c '%U:%G %a' -- "$1.deploy-new")" >"$FILE_WRITTEN$1"
    mv -fT -- "$1.deploy-new" "$1"
}

