# keepalived: which of the virtual addresses are here, and which machine answers to the others.

# keepalived_has ADDRESS : it is on this machine.
keepalived_has() {
    [ -n "$(ip -o address show to "$1" 2>/dev/null)" ]
}

# keepalived_held ADDRESS…
keepalived_held() {
    keepalived_held=''
    for keepalived_address in "$@"; do
        if keepalived_has "$keepalived_address"; then keepalived_held="$keepalived_held $keepalived_address"; fi
    done
    keepalived_own=''
    for keepalived_device in /sys/class/net/*/address; do
        if read -r keepalived_mac <"$keepalived_device"; then keepalived_own="$keepalived_own $keepalived_mac"; fi
    done 2>/dev/null
    printf 'held=%s\nown=%s\n' "$keepalived_held" "$keepalived_own"
}

# keepalived_probe ADDRESS…
keepalived_probe() {
    keepalived_held "$@"
    keepalived_answers=''
    for keepalived_address in "$@"; do
        if ! keepalived_has "$keepalived_address" && keepalived_answered "$keepalived_address"; then
            keepalived_answers="$keepalived_answers $keepalived_address=$keepalived_mac"
        fi
    done
    printf 'answers=%s\n' "$keepalived_answers"
}

# keepalived_answered ADDRESS : whether the network resolves it to a machine now, whatever it did before, and to which
# ($keepalived_mac). A datagram makes the kernel ask.
keepalived_answered() {
    ip neighbour flush to "$1" nud stale 2>/dev/null || true
    # shellcheck disable=SC2016 # Perl's variables
    perl -MSocket=:all -e '
        my ($failed, $to) = getaddrinfo($ARGV[0], 9, { flags => AI_NUMERICHOST, socktype => SOCK_DGRAM });
        exit 1 if $failed;
        socket(my $socket, $to->{family}, SOCK_DGRAM, 0) or exit 1;
        send($socket, "", 0, $to->{addr});
    ' "$1" 2>/dev/null || return 1
    for _ in 1 2 3 4 5; do
        keepalived_mac=$(ip neighbour show to "$1" 2>/dev/null | sed -n 's/.* lladdr \([^ ]*\).*/\1/p')
        if [ -n "$keepalived_mac" ]; then return 0; fi
        sleep 0.1
    done
    return 1
}

