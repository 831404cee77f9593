<?php
// SPDX-License-Identifier: MIT
// usage: work.php ROUNDS
function gen() { for ($i = 0; $i < 500; $i++) yield $i => $i * $i; }
function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
for ($round = 0; $round < (int)$argv[1]; $round++) {
	$x = 7; $h = [];
	for ($i = 0; $i < 4000; $i++) { $x = ($x * 1103515245 + 12345) % 2147483648; $h["k" . $x % 397] = ($h["k" . $x % 397] ?? "") . chr(97 + $x % 26); }
	ksort($h);
	$s = json_encode($h);
	$n = preg_match_all('/a.{1,3}b/', $s);
	$e = 0;
	for ($i = 0; $i < 60; $i++) { try { if ($i % 2) throw new RuntimeException("$i"); } catch (RuntimeException $err) { $e += (int)$err->getMessage(); } finally { $e++; } }
	$g = 0;
	foreach (gen() as $v) $g += $v;
	$last = implode(",", [hash('sha256', $s), $n, $e, $g, fib(15), md5(serialize(json_decode($s, true))), trim(shell_exec('echo hi'))]);
}
echo "$last\n";
exit(7);
