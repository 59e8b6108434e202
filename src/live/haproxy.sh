# HAProxy: its own view of the servers behind it, from its administration socket.

# haproxy_ask COMMANDS : what HAProxy answers; fails where it does not run.
haproxy_ask() {
    [ -S /run/haproxy/admin.sock ] || return 1
    # Numbers instead of Perl's own names for them, which take longer to load than everything else: a Unix stream socket.
    # shellcheck disable=SC2016 # Perl's variables
    perl -e '
        alarm 3;
        socket(my $socket, 1, 1, 0) or exit 1;
        connect($socket, pack("Sa*x", 1, "/run/haproxy/admin.sock")) or exit 1;
        syswrite $socket, "$ARGV[0]\n";
        print while <$socket>;
    ' "$1" 2>/dev/null
}

# haproxy_probe : `show stat` of the servers alone; nothing where HAProxy does not run.
haproxy_probe() {
    haproxy_servers=$(haproxy_ask 'show stat -1 4 -1') || return 0
    printf 'servers=%s\n' "$(printf %s "$haproxy_servers" | base64 -w0)"
}

