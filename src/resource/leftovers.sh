# leftovers: files that were written here and that nothing wants any more.

# leftovers_probe FOLDER ENDING : those that are there and that we have written; others are not ours to remove.
leftovers_probe() {
    leftovers_files=
    for leftovers_file in "$1"/*."$2"; do
        if [ -e "$FILE_WRITTEN$leftovers_file" ] && [ -e "$leftovers_file" ]; then
            leftovers_files="$leftovers_files ${leftovers_file##*/}"
        fi
    done
    printf 'files=%s\n' "$leftovers_files"
}

# leftovers_remove PATH…
leftovers_remove() {
    for leftovers_file in "$@"; do
        rm -f -- "$leftovers_file" "$FILE_WRITTEN$leftovers_file"
    done
}

