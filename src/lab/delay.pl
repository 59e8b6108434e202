# Holds back every frame on its way to a node: the stand-in for netem where the kernel has none.
#
# Usage: delay.pl BRIDGE-SIDE-TAP NODE-SIDE-TAP MILLISECONDS. Makes both taps, says `ready`, and relays until it is
# killed; the taps go with it. Frames towards the node wait, frames from it pass at once: a round trip takes longer
# by the delay, as with netem on the host's end of the cable.
use strict;
use warnings;
use Time::HiRes qw(time);

use constant { TUNSETIFF => 0x400454ca, IFF_TAP => 0x0002, IFF_NO_PI => 0x1000, QUEUE => 20000 };

my ( $near_name, $far_name, $milliseconds ) = @ARGV;

sub tap {
    my ($name) = @_;
    open( my $file, '+<', '/dev/net/tun' ) or die "cannot open /dev/net/tun: $!\n";
    ioctl( $file, TUNSETIFF, pack( 'Z16 S x22', $name, IFF_TAP | IFF_NO_PI ) ) or die "cannot make tap $name: $!\n";
    return $file;
}

my ( $near, $far ) = ( tap($near_name), tap($far_name) );
my $delay = $milliseconds / 1000;
my @waiting;

$| = 1;
print "ready\n";
while (1) {
    my $ready = '';
    vec( $ready, fileno($near), 1 ) = 1;
    vec( $ready, fileno($far),  1 ) = 1;
    my $timeout = @waiting ? $waiting[0][0] - time() : undef;
    $timeout = 0 if defined $timeout && $timeout < 0;
    my $found = select( $ready, undef, undef, $timeout );
    if ( $found > 0 && vec( $ready, fileno($near), 1 ) && sysread( $near, my $frame, 65536 ) ) {
        push @waiting, [ time() + $delay, $frame ] if @waiting < QUEUE;
    }
    if ( $found > 0 && vec( $ready, fileno($far), 1 ) && sysread( $far, my $frame, 65536 ) ) {
        syswrite( $near, $frame );
    }
    syswrite( $far, ( shift @waiting )->[1] ) while @waiting && $waiting[0][0] <= time();
}
