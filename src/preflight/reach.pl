# Tries a TCP connection to each "ADDRESS PORT" at once and says of each how it ended: open, refused (nothing listens
# there, so the way is open), dropped (no answer within two seconds), or the system's own words. Perl, because it is the
# one thing of Debian's essential packages that can wait for many sockets in one process.
use strict;
use warnings;
use Errno qw(EINPROGRESS ECONNREFUSED);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(:DEFAULT :addrinfo IPPROTO_TCP);

my (%pending, %sockets);

sub said {
    my ($target, $error) = @_;
    $! = $error;
    print "reach=$target ", $error == 0 ? "open" : $error == ECONNREFUSED ? "refused" : "$!", "\n";
}

for my $target (@ARGV) {
    my ($address, $port) = split / /, $target;
    my ($failed, $found) = getaddrinfo($address, $port,
        { flags => AI_NUMERICHOST, socktype => SOCK_STREAM, protocol => IPPROTO_TCP });
    if ($failed || !$found) { print "reach=$target $failed\n"; next }
    my $socket;
    if (!socket($socket, $found->{family}, SOCK_STREAM, IPPROTO_TCP)) { said($target, $! + 0); next }
    fcntl($socket, F_SETFL, fcntl($socket, F_GETFL, 0) | O_NONBLOCK);
    if (connect($socket, $found->{addr})) { said($target, 0); next }
    if ($! != EINPROGRESS) { said($target, $! + 0); next }
    $pending{fileno $socket} = $target;
    $sockets{fileno $socket} = $socket;
}

my $end = time + 3;
while (%pending && time < $end) {
    my $waiting = '';
    vec($waiting, $_, 1) = 1 for keys %pending;
    next if select(undef, my $ready = $waiting, undef, 0.2) <= 0;
    for my $number (grep { vec $ready, $_, 1 } keys %pending) {
        my $state = getsockopt($sockets{$number}, SOL_SOCKET, SO_ERROR);
        said(delete $pending{$number}, $state ? unpack('i', $state) : $! + 0);
        close delete $sockets{$number};
    }
}
print "reach=$_ dropped\n" for values %pending;
