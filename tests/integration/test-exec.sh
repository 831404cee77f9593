#!/bin/sh
# Programs that are executed while they are traced, from exec to their entry points.   usage: test-exec.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=

# A tracer that is killed while dynamic linkers run: nobody ends by a breakpoint that it left.
sh -c 'i=0; while [ ! -e "$1/end" ]; do "$0" 1 10 || echo "status $?"; done' "$tracees/counter" "$dir" >"$dir/out" 2>&1 &
shell=$!
pids=$shell
wait_for 30 test -s "$dir/out"
want=$(head -n 1 "$dir/out")
kills=0
while [ $kills -lt 40 ]; do
	"$utrace" run -e 'global n probe process("'"$tracees"'/counter").function("*") { n++ }' -x $shell >/dev/null 2>>"$dir/err" &
	tracer=$!
	# at any moment, from before it has attached
	sleep 0.$(($(od -An -N1 -tu1 /dev/urandom) % 6))
	kill -KILL $tracer 2>/dev/null
	wait $tracer 2>/dev/null
	kills=$((kills + 1))
done
touch "$dir/end"
wait $shell
is $? 0 "forty killed tracers: the shell lives"
is "$(sort -u "$dir/out")" "$want" "... and each of its children did its work"

# What a program is told about SIGTRAP is as it would be.
state() { grep -E "^Sig(Blk|Ign)" /proc/$1/status | tr -d '\n'; }
for how in ignored blocked; do
	cat >"$dir/run.py" <<'END'
import os, signal, sys
if sys.argv[1] == "ignored":
    signal.signal(signal.SIGTRAP, signal.SIG_IGN)
else:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTRAP])
os.execv(sys.argv[2], sys.argv[2:])
END
	rm -f "$dir/plain" "$dir/traced"
	python3 "$dir/run.py" $how "$tracees/sleeper" >"$dir/plain" &
	plain=$!
	wait_for 30 grep -q ready "$dir/plain"
	want=$(state $plain)
	kill -TERM $plain
	wait $plain
	"$utrace" run -e 'probe process("'"$tracees"'/sleeper").function("tick") { n++; if (n > 1) exit() } global n' \
		-c "python3 $dir/run.py $how $tracees/sleeper" >"$dir/traced" 2>"$dir/err" &
	tracer=$!
	wait_for 30 grep -q ready "$dir/traced"
	sleeper=$(pgrep -P $tracer sleeper)
	pids="$pids $sleeper"
	kill -KILL $tracer 2>/dev/null
	wait $tracer 2>/dev/null
	same() { [ "$(text_state $sleeper)" = same ] && [ "$(state $sleeper)" = "$want" ]; }
	wait_for 30 same
	is "$(state $sleeper)" "$want" "SIGTRAP $how over exec: as alone, after the tracer was killed"
	kill -TERM $sleeper
done

# Attached to at any moment of an exec: what it becomes is probed, and nothing of what was brought in before is in the way.
for mode in inject ptrace; do
	rm -f "$dir/end"
	"$tracees/reborn" 100000 "$dir/end" &
	reborn=$!
	pids="$pids $reborn"
	said=
	for i in $(seq 20); do
		said="$said$("$utrace" run --mode=$mode -e 'global n probe process.function("tick") { if (++n > 30) exit() }
			probe end { println(n > 30) }' -x $reborn 2>&1) "
	done
	is "$said" "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 " "$mode: attached to while it executes itself"
	touch "$dir/end"
	wait $reborn
	is $? 7 "... which does it no harm"
done
tap_done
