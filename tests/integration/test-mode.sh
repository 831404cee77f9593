#!/bin/sh
# The same scripts with handlers in the target and in the tracer.   usage: test-mode.sh UTRACE TRACEES
#
#  inject     handlers run in the target
#  ptrace     breakpoints; handlers run in the tracer
#  sandboxed  the same in a process where the tracer may make no system call: chosen by itself
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=
"$tracees/sandboxed" true
can_filter=$?

run() # MODE SCRIPT COMMAND [OPTIONS...]: output in $dir/out, messages in $dir/err
{
	mode=$1 command=$3
	script=$(printf '%s' "$2" | sed "s,process\\.,process(\"${command%% *}\").,g")
	shift 3
	case $mode in
	sandboxed) set -- -c "$tracees/sandboxed $command" "$@" ;;
	*) set -- --mode="$mode" -c "$command" "$@" ;;
	esac
	"$utrace" run -e "$script" "$@" >"$dir/out" 2>"$dir/err"
}

compare() # NAME SCRIPT COMMAND [OPTIONS...]: all modes print the same lines
{
	name=$1
	shift
	run inject "$@"
	sort "$dir/out" >"$dir/want"
	ok $([ -s "$dir/want" ]; echo $?) "$name: there is output"
	for mode in ptrace sandboxed; do
		if [ $mode = sandboxed ] && [ $can_filter != 0 ]; then
			skip "no seccomp filter can be installed here: $name, sandboxed"
			continue
		fi
		run $mode "$@"
		is "$(sort "$dir/out")" "$(cat "$dir/want")" "$name: $mode"
		is "$(grep -v -e --mode=ptrace -e "never returns" "$dir/err")" "" "... without a complaint"
	done
}

compare "counts, arguments and values" '
	global n, r, sum
	probe process.function("branchy") { n++; sum += $n }
	probe process.function("branchy").return { r++; if (@entry($n) < 4) printf("branchy(%d)=%d\n", @entry($n), $return) }
	probe process.function("leaf").return { sum += $return }
	probe end { printf("n=%d r=%d sum=%d\n", n, r, sum) }' "$tracees/counter 4 300"
compare "recursion" '
	global deepest, t
	probe process.function("recurse") { if ($n > deepest) deepest = $n }
	probe process.function("recurse").return { t += $return }
	probe end { printf("deepest=%d t=%d\n", deepest, t) }' "$tracees/counter 2 400"
compare "forks, vfork and execs" '
	global n, b, e
	probe process.function("step") { n++ }
	probe process.begin { b++ } probe process.end { e++ }
	probe end { printf("n=%d b=%d e=%d\n", n, b, e) }' "$tracees/forker"
compare "a library that comes and goes" "
	global n, r
	probe process(\"$tracees/libplugin.so\").function(\"plugin_work\") { n++ }
	probe process(\"$tracees/libplugin.so\").function(\"plugin_work\").return { r++ }
	probe end { printf(\"n=%d r=%d\\n\", n, r) }" "$tracees/loader $tracees/libplugin.so 10"
compare "exceptions" '
	global e, r
	probe process.function("middle") { e++ }
	probe process.function("middle").return { r++ }
	probe end { printf("e=%d r=%d\n", e, r) }' "$tracees/throwing 300"
compare "statements and variables" '
	global n
	probe process.statement("*@points.c:*") { n[pn()]++ }
	probe end { foreach (p+ in n) printf("%s %d\n", p, n[p]) }' "$tracees/points"
compare "system calls next to functions" '
	global n, w
	probe process.function("branchy") { n++ }
	probe process.syscall { if ($syscall == 1) w++ }
	probe end { printf("n=%d w=%d\n", n, w) }' "$tracees/counter 1 50"
compare "every function of a stripped shell" '
	global n
	probe process("/usr/bin/bash").function("*") { n++ }
	probe end { println(n > 1000 ? "many" : "few") }' "bash -c 'for i in 1 2 3; do echo \$((i*i)); done'"
compare "every function of python3 and its returns" '
	global n
	probe process("/usr/bin/python3").function("Py*").return { n++ }
	probe end { println(n > 1000 ? "many" : "few") }' "python3 -S -c 'print(sum(i*i for i in range(50)))'"

# Attached where little is allowed, and nothing is there to help: what is impossible is not tried, or tried in vain.
confined() # HOW MODE: how it is confined; the mode that is chosen
{
	rm -f "$dir/input" "$dir/confined"
	mkfifo "$dir/input"
	"$tracees/confined" "$1" <"$dir/input" >"$dir/confined" &
	busy=$!
	pids="$pids $busy"
	exec 8>"$dir/input"
	wait_for 20 test -s "$dir/confined" || {
		exec 8>&-
		wait $busy
		[ $? = 77 ] && skip "confined ($1): not on this kernel"
		return
	}
	"$utrace" run -e 'global n, sum probe process.function("work") { sum += $i; if (++n == 50) exit() }
		probe begin { println("begin") } probe end { printf("n=%d sum=%d\n", n, sum) }' -x $busy >"$dir/out" 2>"$dir/err" 8>&- &
	tracer=$!
	probed() { [ "$(text_state $busy)" != same ]; }
	wait_for 60 probed
	dd if=/dev/zero bs=50 count=1 >&8 2>/dev/null
	wait $tracer
	is "$?, $(tr '\n' ' ' <"$dir/out")" "0, begin n=50 sum=1225 " "confined ($1): probes are hit"
	chosen=inject
	grep -q -e --mode=ptrace "$dir/err" && chosen=ptrace
	is $chosen "$2" "... by the mode that is possible"
	is "$(text_state $busy)" same "... and nothing is left behind"
	exec 8>&-
	wait $busy
	is $? 0 "... and the program has not noticed"
}
confined plain inject
confined strict ptrace
confined memory ptrace
confined exec inject

# Attached, detached, and killed in the middle.
kill_script='global n probe process.function("branchy"), process.function("leaf").return { n++ }'
for mode in ptrace sandboxed; do
	wrap= want=
	[ $mode = sandboxed ] && wrap=$tracees/sandboxed
	[ $mode = ptrace ] && want=--mode=ptrace
	if [ $mode = sandboxed ] && [ $can_filter != 0 ]; then
		skip "no seccomp filter can be installed here: attaching, sandboxed"
		continue
	fi
	$wrap "$tracees/counter" 4 2000000000 >/dev/null &
	busy=$!
	pids="$pids $busy"
	sleep 0.2
	script='global n probe process.function("branchy"), process.function("leaf").return { if (++n == 500) exit() }
		probe end { println(n >= 500 ? "hit" : "missed") }'
	hits=0
	for i in 1 2 3 4 5; do
		[ "$("$utrace" run $want -e "$script" -x $busy 2>"$dir/err")" = hit ] && hits=$((hits + 1))
	done
	is "$hits" 5 "$mode: five visits to a busy process"
	is "$(text_state $busy)" same "... leave nothing behind"
	# Without a call in the process nothing can take its breakpoints while nobody traces it.
	[ $mode = sandboxed ] && { kill -STOP $busy; sleep 0.2; }
	for delay in 0.1 0.2 0.3 0.4; do
		"$utrace" run $want -e "$kill_script" \
			-x $busy >/dev/null 2>&1 &
		tracer=$!
		sleep $delay
		kill -KILL $tracer 2>/dev/null
		wait $tracer 2>/dev/null
		clean() { [ "$(text_state $busy)" = same ]; }
		wait_for 30 clean
		ok $? "$mode: killed after $delay s: the text is clean again"
		kill -0 $busy
		ok $? "... and the program lives"
	done
	kill -CONT $busy
	kill $busy
	wait $busy
	is $? 143 "$mode: the program ended by our signal only"
done

"$utrace" run --mode=remote -e 'probe begin { exit() }' >"$dir/out" 2>"$dir/err"
is "$?" 1 "an unknown mode: status 1"
like "$(cat "$dir/err")" "expected auto, inject or ptrace" "... and it is told"
if [ $can_filter = 0 ]; then
	"$tracees/sandboxed" "$tracees/counter" 1 2000000000 >/dev/null &
	busy=$!
	pids="$pids $busy"
	sleep 0.2
	"$utrace" run --mode=inject -e 'global n probe process.function("branchy") { n++ }' -x $busy >"$dir/out" 2>"$dir/err"
	is "$?" 1 "--mode=inject refuses where injection is: status 1"
	like "$(cat "$dir/err")" "seccomp filter" "... and it is told why"
fi
tap_done
