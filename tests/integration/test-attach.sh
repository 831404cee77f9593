#!/bin/sh
# Attaching to running processes, detaching, being killed.   usage: test-attach.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=

# A process asleep in epoll_wait sees nothing of twenty visits.
"$tracees/sleeper" >"$dir/sleeper" &
sleeper=$!
pids="$pids $sleeper"
wait_for 30 grep -q ready "$dir/sleeper"
hits=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	out=$("$utrace" run -e 'global n probe process.function("tick") { if (++n == 2) exit() }
		probe end { printf("n=%d\n", n) }' -x $sleeper 2>>"$dir/err")
	[ "$out" = "n=2" ] && hits=$((hits + 1))
done
is "$hits" "20" "twenty visits to a sleeping process"
is "$(cat "$dir/err")" "" "... without a word on standard error"
is "$(text_state $sleeper)" "same" "... text and mappings as before"
kill -TERM $sleeper
wait $sleeper
like "$(cat "$dir/sleeper")" "^eintr=0 " "... and no EINTR"

# The tracer is killed at any moment: the program lives, the guardian cleans up.
"$tracees/counter" 4 2000000000000 >/dev/null &
busy=$!
pids="$pids $busy"
for delay in 0.02 0.03 0.04 0.05 0.06 0.07 0.08 0.1 0.12 0.15 0.2 0.3; do
	"$utrace" run -e 'global n probe process.function("branchy") { n++ } probe process.function("leaf").return { n++ }' \
		-x $busy >/dev/null 2>&1 &
	tracer=$!
	sleep $delay
	kill -KILL $tracer 2>/dev/null
	wait $tracer 2>/dev/null
	clean() { [ "$(text_state $busy)" = same ]; }
	wait_for 30 clean
	ok $? "killed after $delay s: the text is clean again"
	kill -0 $busy
	ok $? "killed after $delay s: the program lives"
done
is "$("$utrace" heal -p $busy)" "process $busy: nothing of utrace's in it" "heal finds nothing left"

# Two tracers die before the first one's guardian gets to work: each takes away what was its own.
guardian_of() # PID: of the last session it has mapped
{
	inode=$(awk '/memfd:utrace/ { print $5 }' "/proc/$1/maps" | grep -vxF "${seen:-none}" | head -n 1)
	seen=$inode
	for p in $(pgrep -x utrace-guardian); do
		[ "$(stat -Lc %i "/proc/$p/fd/4")" = "$inode" ] && guardian=$p
	done
}
first= second=
for which in first second; do
	function=branchy
	[ $which = second ] && function=leaf
	"$utrace" run -v -e "global n probe process.function(\"$function\") { n++ }" -x $busy >/dev/null 2>"$dir/err.$which" &
	tracer=$!
	wait_for 20 grep -q "starting run" "$dir/err.$which"
	patched() { [ "$(text_state $busy)" != same ]; }
	wait_for 20 patched
	sleep 1
	guardian_of $busy
	eval "$which=$guardian"
	kill -STOP $guardian
	kill -KILL $tracer
	wait $tracer 2>/dev/null
done
kill -CONT $second
wait_for 20 eval "! kill -0 $second"
kill -0 $busy
ok $? "the second tracer's guardian leaves alone what the first one's probes need"
kill -CONT $first
clean() { [ "$(text_state $busy)" = same ]; }
wait_for 20 clean
ok $? "... and the first one's clears away the rest: $(text_state $busy)"

# Ctrl-C.
rm -f "$dir/out"
"$utrace" run -e 'global n probe process.function("branchy") { if (!n++) println("hit") } probe end { println(n > 0 ? "some" : "none") }' \
	-x $busy >"$dir/out" 2>"$dir/err" &
tracer=$!
wait_for 60 grep -q hit "$dir/out"
kill -INT $tracer
wait $tracer
is "$?" "0" "SIGINT ends the run with status 0"
is "$(tail -n 1 "$dir/out")" "some" "... after its end probes"
is "$(text_state $busy)" "same" "... and the text is clean"
kill $busy
wait $busy 2>/dev/null

# The run ends with its process, however that ends.
for how in KILL TERM; do
	"$tracees/counter" 4 2000000000000 >/dev/null &
	busy=$!
	pids="$pids $busy"
	rm -f "$dir/out" # what an earlier one said is not waited for
	execed() { [ "$(cat "/proc/$busy/comm")" = counter ]; }
	wait_for 30 execed
	"$utrace" run -e 'global n probe process.function("branchy") { if (!n++) println("hit") } probe end { println(n > 0 ? "some" : "none") }' \
		-x $busy >"$dir/out" 2>"$dir/err" &
	tracer=$!
	wait_for 30 grep -q hit "$dir/out"
	kill -$how $busy
	gone() { ! kill -0 $tracer 2>/dev/null; }
	wait_for 20 gone
	ok $? "SIG$how of the process ends the run"
	kill -KILL $tracer 2>/dev/null
	wait $tracer
	is "$?, $(cat "$dir/out" "$dir/err" | grep -v '^WARNING: Number of errors: 0, skipped' | tr '\n' ' ')" "0, hit some " "... with status 0, after its end probes"
	wait $busy 2>/dev/null
done

# The guardian is killed as well: the next run heals what both have left.
"$tracees/counter" 4 2000000000000 >/dev/null &
busy=$!
pids="$pids $busy"
"$utrace" run -e 'global n probe process.function("branchy") { if (!n++) println("hit") }' -x $busy >"$dir/both" 2>/dev/null &
tracer=$!
wait_for 20 grep -q hit "$dir/both"
guardians=$(for comm in /proc/[0-9]*/comm; do
	grep -q utrace-guardian "$comm" 2>/dev/null && cmp -s /proc/$tracer/cmdline "${comm%comm}cmdline" && echo "$comm" | cut -d/ -f3
done)
kill -KILL $guardians $tracer
wait $tracer 2>/dev/null
unlike "$(text_state $busy)" "^same" "tracer and guardian killed: something is left"
out=$("$utrace" run -e 'probe process.function("branchy") { println("hit"); exit() }' -x $busy 2>"$dir/err")
is "$(printf '%s\n' "$out" | head -n 1)$(cat "$dir/err")" "hit" "... the next run goes on without a word"
is "$(text_state $busy)" "same" "... and leaves nothing behind"
kill $busy
wait $busy 2>/dev/null

# Without -c and -x: processes by number or program, and visits that end at a system call.
rm -f "$dir/sleeper" "$dir/out"
"$tracees/sleeper" >"$dir/sleeper" &
sleeper=$!
pids="$pids $sleeper"
wait_for 30 grep -q ready "$dir/sleeper"
before=$(cat /proc/$sleeper/maps)
for point in "process($sleeper).begin" "process(\"$(realpath "$tracees/sleeper")\").begin" "process($sleeper).syscall" \
	"process($sleeper).syscall.return" "process(\"$(realpath "$tracees/sleeper")\").syscall" "process($sleeper).syscall"; do
	out=$("$utrace" run -e "probe $point { if (pid() == $sleeper) println(execname()); exit() }" 2>&1)
	is "$out" "sleeper" "$point: without -x"
	[ "$(cat /proc/$sleeper/maps)" = "$before" ]
	ok $? "... and nothing stays"
done
rm -f "$dir/out"
"$utrace" run -e "probe process($sleeper).end { println(execname(), \" is over\"); exit() } probe process($sleeper).begin { println(\"begin\") }" >"$dir/out" 2>&1 &
tracer=$!
wait_for 20 grep -q begin "$dir/out"
kill $sleeper
wait $tracer
is "$(tail -n 1 "$dir/out")" "sleeper is over" "process(PID).end: without -x"

# A part of a file is mapped a second time: what is in it is patched twice, the rest once, and nothing is missed.
mkfifo "$dir/in"
for visit in inject ptrace; do
	"$tracees/twice" 100 <"$dir/in" >"$dir/twice" &
	twice=$!
	pids="$pids $twice"
	exec 4>"$dir/in"
	wait_for 20 grep -q ready "$dir/twice"
	rm -f "$dir/out"
	"$utrace" run --mode=$visit -e 'global d, s
		probe process.function("doubled") { d++ } probe process.function("doubled").return { d++ }
		probe process.function("single").return { s++ } probe process.begin { println("probed") }
		probe end { println(d, " ", s) }' -x $twice >"$dir/out" 2>"$dir/err" &
	tracer=$!
	wait_for 20 grep -q probed "$dir/out"
	echo >&4
	wait $tracer
	is "$(tail -n 1 "$dir/out")" "400 100" "$visit: a part of a file that is mapped twice"
	is "$(cat "$dir/err")" "" "... and nobody complains"
	like "$(cat "$dir/twice")" "^sum=" "... the program went on"
	exec 4>&-
done

# Events alone need nothing of ours in the process.
"$tracees/sleeper" >"$dir/out" &
sleeper=$!
pids="$pids $sleeper"
wait_for 5 grep -q ready "$dir/out"
"$utrace" run -x $sleeper -e 'probe process.syscall { println("busy") }' >"$dir/events" 2>"$dir/err" &
tracer=$!
wait_for 10 grep -q busy "$dir/events"
is "$(grep -c utrace /proc/$sleeper/maps)" "0" "a run of events maps nothing in the process"
kill -9 $tracer
wait $tracer 2>/dev/null
wait_for 10 grep -q '^TracerPid:.0$' /proc/$sleeper/status
is "$?" "0" "... and lets go of it when it is killed"
kill $sleeper
wait $sleeper 2>/dev/null

# Bad targets.
"$utrace" run -e 'probe process.function("main") { }' -x 999999999 >"$dir/out" 2>"$dir/err"
is "$?" "1" "no such process: status 1"
like "$(cat "$dir/err")" "no such process" "no such process is told"
tap_done
