#!/bin/sh
# Signals that come while probes run: the program's handlers see the program only.
# usage: test-signals.sh UTRACE TRACEES
utrace=$1
profiled=$2/profiled
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

is "$("$profiled" 500)" "ok 500" "the program alone"
# Every hit counts, however many there are between two signals.
counts() # FACTOR NAME OUTPUT...: of a counted program; a call of middle() is FACTOR hits
{
	called=$(printf '%s\n' "$3" | sed -n 's/ calls$//p')
	is "$3" "ok 1000
$called calls
$((${called:-0} * $1))" "$2"
}
inline='global n probe process.function("work") { n++ } probe end { println(n) }'
calls='global a, t, n
	probe process.function("work") { a[$n % 100] <<< $n }
	probe process.function("work").return { t[tid()] = gettimeofday_ns(); n++ }
	probe process.function("middle").return { n++ }
	probe end { println(n); delete a; delete t; delete n }'
for how in '' '--mode=ptrace'; do
	counts 2 "in trampolines${how:+, $how}" \
		"$("$utrace" run $how -e "$inline" -c "$profiled 1000 counted" 2>&1)"
	counts 3 "in handlers and at returns${how:+, $how}" \
		"$("$utrace" run $how -e "$calls" -c "$profiled 1000 counted" 2>&1)"
done
# Where no call can be made in the process, and an instruction that is not emulated runs beside the text.
if "$2/sandboxed" true; then
	counts 2 "in copies of instructions" "$("$utrace" run -e "global n probe process(\"$profiled\").function(\"blended\") { n++ } probe end { println(n) }" \
		-c "$2/sandboxed $profiled 1000 counted" 2>&1 | grep -v '^WARNING: process [0-9]* has a seccomp filter')"
else
	skip "no seccomp filter can be installed here"
fi
counts 2 "in a handler that is probed itself" \
	"$("$utrace" run -e "probe process.function(\"on_queued\").call { next } $inline" -c "$profiled 1000 counted" 2>&1)"

# Tracers that come and go give some signals back with all they tell, but behind others.
come_and_go() # SIGNALS
{
	: >"$dir/said"
	"$profiled" "$1" any-order >"$dir/said" 2>&1 &
	pid=$!
	rounds=0
	while [ ! -s "$dir/said" ] && [ -e /proc/$pid/maps ] && grep -q . /proc/$pid/maps; do
		rounds=$((rounds + 1))
		"$utrace" run -x $pid -e "global n
			probe process(\"$profiled\").function(\"work\") { if (n++ > 5000) exit() }
			probe process(\"$profiled\").end { exit() }
			probe timer.ms(300) { exit() }" >"$dir/tracer" 2>&1
	done
	wait $pid
	echo "# $rounds tracers, status $?"
}
come_and_go 30000
is "$(cat "$dir/said")" "ok 30000" "with tracers that come and go"
[ $rounds -gt 3 ]
ok $? "... $rounds of them"
tap_done
