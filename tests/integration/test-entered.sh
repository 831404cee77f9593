#!/bin/sh
# Parameters in the middle of functions that have no place there any more.   usage: test-entered.sh UTRACE TRACEES
utrace=$1
tracees=$2
here=$(dirname "$0")
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=
program=$tracees/entered
line=$(grep -n HERE "$here/../tracees/entered.c" | cut -d: -f1)
place="process(\"$program\").statement(\"gone@entered.c:$line\")"
used=$("$program")

# Not all compilers forget them, and then there is nothing to see here.
"$utrace" list -v "$place" >"$dir/list" 2>&1
like "$(cat "$dir/list")" "statement" "there is such a place"

want="0 abc
1 bc
2 c
101 recurse
102 recurse
103 recurse
104 outer
403 back
400 around
501 tail"
for mode in inject ptrace; do
	out=$("$utrace" run --mode=$mode -e "probe $place { printf(\"%d %s\n\", \$a, user_string(\$b)) }" -c "$program" 2>"$dir/err")
	is "$out" "$used
$want" "$mode: recursion, frames that are left, tail calls"
done
out=$("$utrace" run -e "probe $place { println(\$\$parms) } probe process(\"$program\").function(\"use\") { n++ }
	global n probe end { println(n) }" -c "$program" 2>"$dir/err")
like "$out" "^a=0x191 .*|^a=0x193 " "in \$\$parms, next to other probes"
is "$(echo "$out" | tail -n 1)" "23" "... which see what they saw"
patches()
{
	"$utrace" run -v -e "probe $place { println($1) }" -c "$program" 2>&1 |
		sed -n 's/^utrace: \([0-9]*\) patches.*/\1/p'
}
is "$(patches 1) $(patches '$a') $(patches '$a+$b')" "1 2 2" "a hidden probe at the entry, where one is needed"

# Whoever was inside before has been entered before.
mkfifo "$dir/in"
"$program" inside <"$dir/in" >"$dir/out" &
pid=$!
pids="$pids $pid"
exec 4>"$dir/in"
wait_for 30 grep -q inside "$dir/out"
"$utrace" run -v -e "probe $place { try { println(\$a) } catch (e) { println(e) } println(@defined(\$a), \" \", \$\$parms) }" \
	-x $pid >"$dir/traced" 2>"$dir/err" &
tracer=$!
pids="$pids $tracer"
wait_for 30 grep -q "^utrace: " "$dir/err"
echo >&4
wait $tracer
is "$(sed -n 1p "$dir/traced")" "a value from the function's entry is not known: it was entered before it was probed" \
	"a frame that was there before has no such values"
is "$(sed -n 2p "$dir/traced")" "1 ERROR" "... which \$\$parms says as of all that cannot be read"
is "$(sed -n 3p "$dir/traced")" "0" "... those that come have"
exec 4>&-
tap_done
