# kernel parameters: probe and apply.

# sysctl_probe KEY… : prints KEY=VALUE for each that exists and may be written. The kernel gives a value in one read, which
# the shell's own does not make: one process reads all of them. A value may be empty.
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
    sysctl_values=$(grep -H '' "$@")
    for key in $sysctl_keys; do
        line_of "$sysctl_values" "$1:" ''
        printf '%s=%s\n' "$key" "$LINE"
        shift
    done
}

# sysctl_apply KEY=VALUE…
sysctl_apply() {
    for pair in "$@"; do
        sysctl -q -w "$pair"
    done
}

