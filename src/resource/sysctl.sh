# kernel parameters: probe and apply.

# sysctl_probe KEY… : prints KEY=VALUE for each that exists and may be written. The kernel gives a value in one read, which
# the shell's own does not make: one process reads all of them.
sysctl_probe() {
    sysctl_keys=''
    for key do
        shift
        path=$key
        while [ "$path" != "${path#*.}" ]; do path=${path%%.*}/${path#*.}; done
        if [ -w "/proc/sys/$path" ]; then
            set -- "$@" "/proc/sys/$path"
            sysctl_keys="$sysctl_keys $key"
        fi
    done
    [ $# -gt 0 ] || return 0
    sysctl_values=$(cat "$@")
    IFS=$NL
    # shellcheck disable=SC2086 # a line each
    set -- $sysctl_values
    unset IFS
    for key in $sysctl_keys; do
        printf '%s=%s\n' "$key" "$1"
        shift
    done
}

# sysctl_apply KEY=VALUE…
sysctl_apply() {
    for pair in "$@"; do
        sysctl -q -w "$pair"
    done
}

