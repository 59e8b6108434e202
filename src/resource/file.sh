# files and directories: probe and apply.

directory_probe() {
    [ -d "$1" ] && stat -c 'owner=%U:%G
mode=%a' -- "$1"
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
        stat -c 'owner=%U:%G
mode=%a
mtime=%Y
ctime=%Z' -- "$1"
        file_hash=$(sha256sum <"$1")
        printf 'sha256=%s\n' "${file_hash%% *}"
    fi
}

file_fetch() {
    [ -f "$1" ] && [ "$(stat -c %s -- "$1")" -lt 1000000 ] && printf 'content=%s\n' "$(base64 -w0 <"$1")"
}

# file_stage PATH OWNER MODE PAYLOAD : writes the new content beside the old, readable by its owner alone.
file_stage() {
    [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}"
    printf '%s\n' "$1.deploy-new" >>"$RUN_DIR/staged"
    (umask 077 && cat <"$4" >"$1.deploy-new")
    chown -- "$2" "$1.deploy-new"
    chmod -- "$3" "$1.deploy-new"
}

# file_validate PATH COMMAND : runs the command with %s replaced by the staged file.
file_validate() {
    sh -c "$(printf '%s' "$2" | sed "s|%s|$1.deploy-new|g")"
}

# file_commit PATH : keeps the old file under the run's folder and puts the new one in its place, durably.
file_commit() {
    if [ -e "$1" ]; then
        mkdir -p -- "$RUN_DIR/files${1%/*}"
        [ -e "$RUN_DIR/files$1" ] || cp -a -- "$1" "$RUN_DIR/files$1"
    fi
    if [ -L "$1" ]; then rm -f -- "$1"; fi
    sync -- "$1.deploy-new"
    mkdir -p -- "$FILE_WRITTEN$(dirname -- "$1")"
    printf '%s %s\n' "$(sha256sum <"$1.deploy-new" | cut -c1-64)" "$(stat -c '%U:%G %a' -- "$1.deploy-new")" \
        >"$FILE_WRITTEN$1"
    mv -fT -- "$1.deploy-new" "$1"
}

