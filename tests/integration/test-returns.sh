#!/bin/sh
# Returns where functions leave by each other's exits: each visit is one of a call.   usage: test-returns.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=
program=$tracees/neighbours
sum=$("$program")

# name, entries, returns, returns with a value; lone() has two names, and how the part of split() ends is up to the
# compiler
counted() # OPTIONS...
{
	"$utrace" run "$@" -e "
		global entered, left, value, saved
		probe process(\"$program\").function(\"$name\") { entered++ }
		probe process(\"$program\").function(\"$name\").return { left++ }
		probe process(\"$program\").function(\"$name\").return { value += returnval() != 0x7fffffff }
		probe process(\"$program\").function(\"$name\").return { saved += @entry(1) }
		probe end { printf(\"%d %d %d %d\n\", entered, left, value, saved) }" -c "$program" 2>"$dir/err"
}
for mode in inject ptrace; do
	while read -r name entered left value what; do
		out=$(counted --mode=$mode)
		[ "$value" != any ] || value=$(echo "$out" | sed -n 's/^[0-9]* [0-9]* \([0-9]*\) .*/\1/p')
		is "$out" "$sum
$entered $left $value $left" "$mode: $what"
	done <<-END
		runs_on 38 35 15 a function that runs into the next one; three calls end in longjmp(), twenty in a tail call
		neighbour 1041 1038 1018 the next one
		middle 10 10 10 others jump into its middle
		jumper 1000 1000 0 the one that jumps
		subroutines 10 10 10 it calls its own second half
		lone 1010 1010 1010 two names of one function
		split 10 10 any a part is elsewhere
	END
done

out=$("$utrace" run -t -e "global n probe process(\"$program\").function(\"runs_on\").return { n++ }
	probe end { println(n) }" -c "$program" 2>&1)
like "$out" "return.*hits: 35," "-t counts the same"

# One handler for all of them: some are paired, some are not.
out=$("$utrace" run -e "global n
	probe process(\"$program\").function(\"runs_on\").return, process(\"$program\").function(\"middle\").return,
		process(\"$program\").function(\"neighbour\").return, process(\"$program\").function(\"jumper\").return,
		process(\"$program\").function(\"lone\").return, process(\"$program\").function(\"split\").return {
		n[ppfunc()]++ }
	probe end { foreach (f+ in n) printf(\"%s %d\n\", f, n[f]) }" -c "$program" 2>"$dir/err" | grep -v sum)
is "$out" "jumper 1000
lone 1010
middle 10
neighbour 1038
runs_on 35
split 10" "one handler at paired returns and at others"

out=$("$utrace" run -e "global n, m
	probe process(\"$program\").function(\"*\").return { n[ppfunc()] += @entry(1) }
	probe process(\"$program\").function(\"*\").return { m[ppfunc()]++ }
	probe end { foreach (f+ in n) printf(\"%s %d %d\n\", f, n[f], m[f]) }" -c "$program" 2>"$dir/err" |
	grep -E "^(elsewhere|jumper|lone|middle|neighbour|runs_on|split|subroutines) ")
is "$out" "elsewhere 20 20
jumper 1000 1000
lone 1010 1010
middle 10 10
neighbour 1038 1038
runs_on 35 35
split 10 10
subroutines 10 10" "... and at all functions at once, also with values of their entries"

# What a condition leaves out has been left all the same: turned off and on within calls.
out=$("$utrace" run -e "global n, on = 1
	probe process(\"$program\").function(\"runs_on\") { on = !on }
	probe process(\"$program\").function(\"runs_on\").return if (on) { n++ }
	probe end { println(n) }" -c "$program" 2>"$dir/err" | grep -v sum)
twin=$("$utrace" run -e "global n, on = 1
	probe process(\"$program\").function(\"runs_on\") { on = !on }
	probe process(\"$program\").function(\"runs_on\").return { if (on) n++ }
	probe end { println(n) }" -c "$program" 2>"$dir/err" | grep -v sum)
is "$out" "$twin" "a condition is as good as an if"

# Where it is told; and who needs none stays without.
list() # FUNCTION
{
	"$utrace" list -v "process(\"$program\").function(\"$1\").return" 2>&1
}
like "$(list runs_on)" "others come to its exits at 0x[0-9a-f]+ \(neighbour\+0\): only those count" "list -v says why"
like "$(list middle)" "others come to its exits at 0x[0-9a-f]+ \(middle\+0x3\)" "... of jumps into the middle"
for name in neighbour jumper lone other_name split; do
	unlike "$(list $name)" "others come|no match" "$name() has its exits for itself"
done
patches() # FUNCTION
{
	"$utrace" run -v -e "probe process(\"$program\").function(\"$1\").return { println(1) }" -c "$program" 2>&1 |
		sed -n 's/^utrace: \([0-9]*\) patches.*/\1/p'
}
is "$(patches lone)" "$(list lone | grep -c "exit ")" "no hidden handler where exits are its own"

# A thread that is inside when the probes come has not been seen to enter.
mkfifo "$dir/in"
"$program" inside <"$dir/in" >"$dir/out" &
pid=$!
pids="$pids $pid"
exec 4>"$dir/in"
wait_for 30 grep -q inside "$dir/out"
"$utrace" run -v -e "global n, m probe process(\"$program\").function(\"runs_on\").return { n++ }
	probe process(\"$program\").function(\"lone\").return { m++ }
	probe end { println(n, \" \", m) }" -x $pid >"$dir/traced" 2>"$dir/err" &
tracer=$!
pids="$pids $tracer"
wait_for 30 grep -q "^utrace: " "$dir/err"
echo >&4
lines() { [ "$(grep -c inside "$dir/out")" = 2 ]; }
wait_for 30 lines
echo >&4
wait $tracer
is "$(cat "$dir/traced")" "35 1011" "who was inside before does not count, where it takes an entry"
is "$(tail -n 1 "$dir/out" | cut -c1-4)" "sum=" "... and goes on"
exec 4>&-

# The C library's own: strcasecmp() runs into strcasecmp_l().
libc=$(awk '/libc\.so|libc-/ { print $6; exit }' /proc/self/maps)
if [ -n "$libc" ] && "$utrace" list -v "process(\"$libc\").function(\"strcasecmp\").return" 2>/dev/null | grep -q "others come"; then
	is "$("$program" libc 100 1000)" "libc=0" "calls of the C library"
	out=$("$utrace" run -e "global n, m, e
		probe process(\"$libc\").function(\"strcasecmp\") { e++ }
		probe process(\"$libc\").function(\"strcasecmp\").return { n++ }
		probe process(\"$libc\").function(\"strcasecmp_l\").return { m++ }
		probe end { printf(\"%d %d %d\n\", e, n, m) }" -c "$program libc 100 1000" 2>"$dir/err")
	is "$out" "libc=0
100 100 1100" "... each return is one of its own calls"
else
	skip "strcasecmp() of this C library is a function of its own"
fi
tap_done
