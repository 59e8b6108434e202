# kernel parameters: probe and apply.

# sysctl_probe KEY… : prints KEY=VALUE for each that exists and may be written.
sysctl_probe() {
    for key in "$@"; do
        path=$key
        while [ "$path" != "${path#*.}" ]; do path=${path%%.*}/${path#*.}; done
        # Several numbers are parted by tabs.
        # shellcheck disable=SC2086
        if [ -w "/proc/sys/$path" ] && read -r value <"/proc/sys/$path"; then echo "$key="$value; fi
    done
}

# sysctl_apply KEY=VALUE…
sysctl_apply() {
    for pair in "$@"; do
        sysctl -q -w "$pair"
    done
}

