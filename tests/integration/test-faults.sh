#!/bin/sh
# Faults of displaced instructions are the program's own.   usage: test-faults.sh UTRACE TRACEES
utrace=$1
faulter=$2/faulter
. "$(dirname "$0")/../lib/tap.sh"

is "$("$faulter")" "ok" "the program alone"
# Probed where it faults: the handler sees the instruction, whose return runs it again, with its probe.
for how in '' '--mode=ptrace'; do
	out=$("$utrace" run $how -e 'global a probe process.function("load") { a++ }
		probe end { printf("a=%d\n", a) }' -c "$faulter" 2>&1)
	like "$out" "^ok$" "first in the window${how:+, $how}"
	[ -n "$how" ] || like "$out" "^a=2000$" "... which runs twice"
	out=$("$utrace" run $how -e 'global a, b probe process.function("load_behind") { a++ }
		probe process.function("call_through") { b++ }
		probe end { printf("a=%d b=%d\n", a, b) }' -c "$faulter" 2>&1)
	like "$out" "^ok$" "behind the patch, and a call${how:+, $how}"
	like "$out" "^a=1000 b=1000$" "... which do not count twice${how:+, $how}"
done
tap_done
