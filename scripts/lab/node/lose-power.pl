# lose-power.pl FOLDER: shut the ext4 filesystem at FOLDER down at once, without flushing its journal. What nobody had
# synced is lost, as when the power fails. Perl, because it is on every Debian machine and can make an ioctl.
use strict;
use warnings;

my $EXT4_IOC_SHUTDOWN = 0x8004587d;    # _IOR('X', 125, uint32_t)
my $NO_LOG_FLUSH      = 2;

open(my $folder, '<', $ARGV[0]) or die "$ARGV[0]: $!\n";
ioctl($folder, $EXT4_IOC_SHUTDOWN, pack('L', $NO_LOG_FLUSH)) or die "$ARGV[0]: $!\n";
