# SPDX-License-Identifier: MIT
# usage: work.pl ROUNDS
use strict; use warnings; use Digest::SHA qw(sha256_hex); use List::Util qw(sum reduce);
my $last;
for (1 .. $ARGV[0]) {
	my %h; my $x = 7;
	for my $i (1 .. 4000) { $x = ($x * 1103515245 + 12345) % 2147483648; $h{"k" . $x % 997} .= chr(97 + $x % 26); }
	my $s = join "", map { "$_=$h{$_};" } sort keys %h;
	(my $t = $s) =~ s/(\w)(\w)/$2$1/g;
	my $n = () = $s =~ /a.{1,3}b/g;
	my @e;
	for my $i (1 .. 50) { eval { die { code => $i } if $i % 2; 1 } or push @e, $@->{code}; }
	local $SIG{ALRM} = sub { die "alarm\n" };
	my $f = sub { my ($f, $n) = @_; $n < 2 ? $n : $f->($f, $n - 1) + $f->($f, $n - 2) };
	my $out = `echo $n`;
	$last = join ",", sha256_hex($t), $n, sum(@e), $f->($f, 15), $out;
	my $pid = fork // die; if (!$pid) { exit 5 } waitpid $pid, 0; $last .= $? >> 8;
}
print "$last\n";
exit 7;
