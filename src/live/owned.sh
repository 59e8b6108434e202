# ownership: a data directory is ours when its mark says so.

# owned_probe NAME DIRECTORY… : the mark, and the first directory that holds data.
owned_probe() {
    if [ -r "/var/lib/deploy/owned/$1" ]; then printf 'owner=%s\n' "$(cat "/var/lib/deploy/owned/$1")"; fi
    shift
    for directory in "$@"; do
        if [ -d "$directory" ] && [ -n "$(ls -A -- "$directory")" ]; then
            printf 'data=%s\n' "$directory"
            break
        fi
    done
}

# owned_claim NAME TOKEN : from now on, what is in the directory is made by this cluster.
owned_claim() {
    mkdir -p /var/lib/deploy/owned
    printf '%s\n' "$2" >"/var/lib/deploy/owned/$1.new"
    sync -- "/var/lib/deploy/owned/$1.new"
    mv -f -- "/var/lib/deploy/owned/$1.new" "/var/lib/deploy/owned/$1"
}

