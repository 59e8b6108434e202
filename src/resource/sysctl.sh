# kernel parameters: probe and apply.

# sysctl_probe KEY… : prints KEY=VALUE for each that exists and may be written.
sysctl_probe() {
    for key in "$@"; do
        path=$key
        while [ "$path" != "${path#*.}" ]; do path=${path%%.*}/${path#*.}; done
        # Several numbers are parted by tabs. The kernel gives them in one read, which the shell's own does not make.
        # shellcheck disable=SC2046,SC2005
        if [ -w "/proc/sys/$path" ]; then echo "$key="$(cat "/proc/sys/$path"); fi
    done
}

# sysctl_apply KEY=VALUE…
sysctl_apply() {
    for pair in "$@"; do
        sysctl -q -w "$pair"
    done
}

