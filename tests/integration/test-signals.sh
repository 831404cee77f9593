#!/bin/sh
# Signals that come while probes run: the program's handlers see the program only.
# usage: test-signals.sh UTRACE TRACEES
utrace=$1
profiled=$2/profiled
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

is "$("$profiled" 500)" "ok 500" "the program alone"
inline='global n probe process.function("work") { n++ } probe end { println(n > 0) }'
calls='global a, t, n
	probe process.function("work") { a[$n % 100] <<< $n }
	probe process.function("work").return { t[tid()] = gettimeofday_ns(); n++ }
	probe process.function("middle").return { n++ }
	probe end { println(n > 0); delete a; delete t; delete n }'
for how in '' '--mode=ptrace'; do
	is "$("$utrace" run $how -e "$inline" -c "$profiled 1000" 2>&1)" "ok 1000
1" "in trampolines${how:+, $how}"
	is "$("$utrace" run $how -e "$calls" -c "$profiled 1000" 2>&1)" "ok 1000
1" "in handlers and at returns${how:+, $how}"
done
# Where no call can be made in the process, and an instruction that is not emulated runs beside the text.
if "$2/sandboxed" true; then
	like "$("$utrace" run -e "global n probe process(\"$profiled\").function(\"blended\") { n++ } probe end { println(n > 0) }" \
		-c "$2/sandboxed $profiled 1000" 2>&1 | tr '\n' ' ')" "ok 1000 1 $" "in copies of instructions"
else
	skip "no seccomp filter can be installed here"
fi
is "$("$utrace" run -e "probe process.function(\"on_queued\").call { next } $inline" -c "$profiled 1000" 2>&1)" \
	"ok 1000
1" "in a handler that is probed itself"

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
