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

# Reads that fault where the signal is blocked: the kernel takes its handler away then, and nobody could give it back.
alone=$("$2/blocked")
is "$alone" "SIGSEGV blocked, its handler there, 1 caught" "the program alone, that blocks signals of faults"
for how in '' '--mode=ptrace'; do
	out=$("$utrace" run $how -e 'global bad, good probe process.function("look") {
		try { if (strlen(user_string($text))) good++ } catch { bad++ } }
		probe end { printf("%d %d\n", good, bad) }' -c "$2/blocked" 2>&1)
	is "$out" "$alone
3 9" "... with a handler that reads what cannot be read${how:+, $how}"
done
# Writes: to nothing, to a page without rights, and to one that is there.
out=$("$utrace" run -g -e 'global bad, good probe process.function("look") {
	try { set_user_char(&$text[0], 98) good++ } catch { bad++ } }
	probe end { printf("%d %d\n", good, bad) }' -c "$2/blocked" 2>&1)
is "$out" "$alone
6 6" "... with a handler that writes where nothing can be written"
tap_done
