# files and directories: probe and apply.

NL='
'

# What stat and sha256sum have said of all paths that a script asks about, in one process each.
PATHS_STAT=''
PATHS_HASH=''

# paths_stat PATH… : from now on path_stat knows these.
paths_stat() {
    PATHS_STAT=$(stat -c '%n//%s %U:%G %a %Y %Z' -- "$@" 2>/dev/null)
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

# path_stat PATH : in PATH_SIZE, PATH_OWNER, PATH_MODE and PATH_TIMES (of its content, of itself) what is known of one that is
# there.
path_stat() {
    line_of "$PATHS_STAT" "$1//" ''
    [ -n "$LINE" ] || LINE=$(stat -c '%s %U:%G %a %Y %Z' -- "$1")
    PATH_SIZE=${LINE%% *}
    LINE=${LINE#* }
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

# directory_probe PATH [override] : with the second also what packages are told of it.
directory_probe() {
    [ -d "$1" ] || return 0
    path_stat "$1"
    printf 'owner=%s\nmode=%s\n' "$PATH_OWNER" "$PATH_MODE"
    if [ $# -eq 1 ] || [ ! -r /var/lib/dpkg/statoverride ]; then return 0; fi
    while read -r override_user override_group override_mode override_path; do
        [ "$override_path" != "$1" ] ||
            printf 'override=%s:%s %s\n' "$override_user" "$override_group" "$override_mode"
    done </var/lib/dpkg/statoverride
}

# directory_apply PATH OWNER MODE [override] : with the last, packages leave it so, too.
directory_apply() {
    # What a link leads to would be given away. Root's own are an administrator's.
    if [ -L "$1" ] && [ "$(stat -c %u -- "$1")" != 0 ]; then
        echo "$1 is a link that root has not made: look where it leads, and remove it"
        return 1
    fi
    [ -d "$1" ] || mkdir -p -- "$1"
    chown -- "$2" "$1"
    # The further 0 takes away what a setgid folder above has given it.
    chmod -- "0$3" "$1"
    [ $# -eq 3 ] || dpkg-statoverride --force-statoverride-add --add "${2%%:*}" "${2#*:}" "$3" "$1"
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
    [ -f "$1" ] || return 0
    path_stat "$1"
    [ "$PATH_SIZE" -ge 1000000 ] || printf 'content=%s\n' "$(base64 -w0 <"$1")"
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

# files_ready PATH… : what is staged for these is on the disk, and what is there is kept under the run's folder, by one process
# each for all of them. Comes before file_commit.
files_ready() {
    for path do
        shift
        set -- "$@" "$path.deploy-new"
    done
    sync -- "$@"
    for path do
        shift
        path=${path%.deploy-new}
        # What an earlier step of the run has kept is what was there before the run.
        if [ -e "$path" ] && [ ! -e "$RUN_DIR/files$path" ]; then set -- "$@" "${path#/}"; fi
    done
    [ $# -gt 0 ] || return 0
    mkdir -p -- "$RUN_DIR/files"
    # That of Debian 12 loses its way where paths begin with a slash.
    (cd / && exec cp -a --parents -- "$@" "$RUN_DIR/files")
}

# file_commit PATH WRITTEN : puts the new file in the place of the old one. WRITTEN is its hash, its owner and its mode.
file_commit() {
    if [ -L "$1" ]; then rm -f -- "$1"; fi
    [ -d "$FILE_WRITTEN${1%/*}" ] || mkdir -p -- "$FILE_WRITTEN${1%/*}"
    printf '%s\n' "$2" >"$FILE_WRITTEN$1"
    mv -fT -- "$1.deploy-new" "$1"
}

