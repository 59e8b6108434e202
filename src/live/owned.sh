# ownership: a data directory is ours when its mark says so.

# owned_probe NAME DIRECTORY… : the mark, and the first directory that holds data.
owned_probe() {
    if [ -r "/var/lib/deploy/owned/$1" ] && read -r owned_by <"/var/lib/deploy/owned/$1"; then
        printf 'owner=%s\n' "$owned_by"
    fi
    shift
    for directory do
        for owned_entry in "$directory"/* "$directory"/.[!.]* "$directory"/..?*; do
            if [ -e "$owned_entry" ] || [ -L "$owned_entry" ]; then
                printf 'data=%s\n' "$directory"
                return
            fi
        done
    done
}

# owned_claim NAME TOKEN : from now on, what is in the directory is made by this cluster.
owned_claim() {
    mkdir -p /var/lib/deploy/owned
    printf '%s\n' "$2" >"/var/lib/deploy/owned/$1.new"
    sync -- "/var/lib/deploy/owned/$1.new"
    mv -f -- "/var/lib/deploy/owned/$1.new" "/var/lib/deploy/owned/$1"
}

