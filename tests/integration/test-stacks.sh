#!/bin/sh
# Stacks by call frame information.   usage: test-stacks.sh UTRACE TRACEES
utrace=$1
stacks=$2/stacks
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Names of the program's own functions on the stack, the innermost first.
frames() # OPTION FUNCTION
{
	"$utrace" run $1 -e "probe process.function(\"$2\") { print_ubacktrace_brief(); exit() }" -c "$stacks" 2>&1 |
		sed -n 's/^\(compare\|sort_some\|handle\|interrupted\|main\)+.*/\1/p' | tr '\n' ' '
}

for how in '' --mode=ptrace; do
	is "$(frames "$how" compare)" "compare sort_some main " "through a library${how:+, $how}"
	is "$(frames "$how" handle)" "handle interrupted main " "through a signal frame${how:+, $how}"
done
list=$("$utrace" run -e 'probe process.function("compare") {
	printf("%d %d\n", ustack(0) == uaddr(), ustack(1) == caller_addr()) println(ucallers(2)) exit() }' -c "$stacks")
like "$list" "^1 1$" "single frames"
like "$list" "^0x[0-9a-f]+ 0x[0-9a-f]+ 0x[0-9a-f]+$" "... and a list of three"

# Without symbols there are addresses still: as many frames as before.
strip -o "$dir/stripped" "$stacks"
probe='probe process.library("libc.so.6").function("qsort_r") { println(ubacktrace()) exit() }'
whole=$("$utrace" run -e "$probe" -c "$stacks" 2>&1 | grep '^0x' | wc -w)
bare=$("$utrace" run -e "$probe" -c "$dir/stripped" 2>&1 | grep '^0x' | wc -w)
[ "$whole" -ge 4 ]
ok $? "from a library's function: $whole frames"
is "$bare" "$whole" "... a stripped program has as many"
tap_done
