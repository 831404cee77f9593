#!/bin/sh
# Programs whose address space is limited.   usage: test-limits.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=

visit='global n probe process.function("tick") { if (++n == 2) exit() } probe end { printf("n=%d\n", n) }'
pairs='global n, e, s probe process.function("recurse") { n++ }
	probe process.function("recurse").return { e += @entry($n); if (n % 1000 == 0) s = sprint_ubacktrace() }
	probe end { printf("n=%d e=%d %s\n", n, e, s =~ "main|hammer" ? "stack" : "?") }'

# Tracer and program alike.
want=$("$utrace" run -e "$pairs" -c "$tracees/counter 4 1000" 2>&1)
like "$want" "^n=10000 e=10000 stack$" "without a limit"
for mode in inject ptrace; do
	if ! (ulimit -v 600000 && "$utrace" --version) >/dev/null 2>&1; then
		skip "no room for utrace itself: built with a sanitizer"
		continue
	fi
	got=$(ulimit -v 600000 && "$utrace" run --mode=$mode -e "$pairs" -c "$tracees/counter 4 1000" 2>&1)
	is "$got" "$want" "600 MB for tracer and program, $mode"
done

# Files of limited length: the memory that tracer and program share is one.
out=$(ulimit -f 1000 && "$utrace" run -e "$pairs" -c "$tracees/counter 4 1000" 2>&1)
is "$? $out" "1 error: cannot create session memory: File too large (RLIMIT_FSIZE, ulimit -f)
Pass 5: run failed.  [man error::pass5]" "a limit of files' length is named"

# Too little for the tracer itself, from its first allocations on: one error, whatever it was that failed, and no
# package is blamed that is there.
other=0
for room in 3000 6000 10000 14000 16000 18000 20000 24000; do
	# with a sanitizer it does not come to main()
	(ulimit -d $room && "$utrace" --version) >/dev/null 2>&1 || continue
	out=$(ulimit -d $room && "$utrace" run -e "$pairs" -c "$tracees/counter 1 1" 2>&1)
	status=$?
	[ $status = 0 ] && continue
	# the sanitizer's words
	echo "$out" | grep -q Sanitizer && continue
	[ $status = 1 ] && [ "$(echo "$out" | grep -c "^error: ")" = 1 ] && ! echo "$out" | grep -q package && continue
	other=$((other + 1))
	echo "# $room KiB: status $status: $out"
done
is "$other" 0 "too little memory for the tracer itself: told"

# The program alone: from where it just fits to where nothing does.
fitted=0 elsewhere=0 other=0 dirty=0
for room in 400000 100000 50000 25000 12000 6000; do
	rm -f "$dir/sleeper"
	(ulimit -v $room && exec "$tracees/sleeper") >"$dir/sleeper" &
	sleeper=$!
	pids="$pids $sleeper"
	wait_for 30 grep -q ready "$dir/sleeper"
	out=$("$utrace" run -e "$visit" -x $sleeper 2>&1)
	status=$?
	if [ $status = 0 ] && [ "$out" = "n=2" ]; then
		fitted=$((fitted + 1))
	elif [ $status = 0 ] && [ "$(echo "$out" | grep -v '^WARNING: process .*RLIMIT_AS.*(--mode=ptrace)$')" = "n=2" ]; then
		elsewhere=$((elsewhere + 1))
	else
		other=$((other + 1))
		echo "$out" | sed "s/^/# $room: /"
	fi
	[ "$(text_state $sleeper)" = same ] || dirty=$((dirty + 1))
	kill -TERM $sleeper
	wait $sleeper
	grep -q "^eintr=0 " "$dir/sleeper" || dirty=$((dirty + 1))
done
is "$((fitted > 2)) $((elsewhere > 0)) $other" "1 1 0" "limits of a program: handlers run in it, or in the tracer"
is "$dirty" "0" "... and as it was"

# One that takes a limit upon itself.
out=$("$utrace" run -e 'global n probe process("/bin/sh").function("*") { n++ } probe end { println(n > 100) }' \
	-c "sh -c 'ulimit -v 500000; exec sh -c \"echo fine\"'" 2>&1)
like "$out" "^fine$" "a limit set later: the program runs"
like "$out" "^WARNING: process [0-9]+ has no room .*RLIMIT_AS.*--mode=ptrace" "... its handlers in the tracer, for that reason"
like "$out" "^1$" "... and they do run"
# Each forked process has records of its own in the journal.
if command -v bash >/dev/null; then
	out=$("$utrace" run -e 'global seen probe process("bash").function("*") { seen[pid()] = 1 } probe end { foreach (p in seen) k++ println(k) }' \
		-c 'bash -c "for i in $(seq -s " " 40); do (sleep 1; :) & done; wait"' 2>&1)
	is "$out" 81 "forty children at a time and theirs, with all of their functions"
fi
tap_done
