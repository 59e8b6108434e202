# kernel parameters: probe and apply.

# sysctl_probe KEY… : prints KEY=VALUE for each that exists and may be written.
sysctl_probe() {
    for key in "$@"; do
        path=/proc/sys/$(printf '%s' "$key" | tr . /)
        if [ -w "$path" ]; then printf '%s=%s\n' "$key" "$(tr '\t' ' ' <"$path")"; fi
    done
}

# sysctl_apply KEY=VALUE…
sysctl_apply() {
    for pair in "$@"; do
        sysctl -q -w "$pair"
    done
}

