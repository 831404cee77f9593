#!/bin/sh
# Programs that put a seccomp filter on while they are traced end exactly as untraced, whatever the filter does
# to calls that it knows nothing of, and whatever becomes of the tracer.   usage: test-late-filter.sh UTRACE TRACEES
utrace=$1
program=$2/late-filter
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=
"$program" kill 0 >"$dir/out"
if [ $? != 7 ]; then
	skip "no seccomp filter can be installed here"
	tap_done
fi

# Without variables under locks, which threads wait for by system calls.
# From the first instruction on: no thread has hit the probe before the filter is there.
script="global n probe process(\"$program\").function(\"work\") { n <<< 1 } probe end { printf(\"hits=%d\\n\", @count(n)) }"
for case in "kill 0" "kill 3" "kill-thread 2" "errno 2" "trap 2" "trace 2" "strict 0" "none 2"; do
	threads=${case#* }
	want=$("$program" $case)
	"$utrace" run -e "$script" -c "$program $case" >"$dir/out" 2>"$dir/err"
	is "$(cat "$dir/out")" "$want
hits=$((3000 * (threads + 1)))" "a filter before the first hit, $case: all hits, and the same result"
	is "$(grep -v "Pass 5" "$dir/err")" "WARNING: Child process exited with status 7" "... it ends by itself"
done

# Time stamps in strict mode, where the program itself may not read the counter any more.
"$utrace" run -e "probe process(\"$program\").function(\"work\") { if (\$n == 7) printf(\"%s %d\\n\", ppfunc(), gettimeofday_s() > 1) }" \
	-c "$program strict 0" >"$dir/out" 2>"$dir/err"
is "$(grep work "$dir/out")" "work 1" "records and times in strict mode"
like "$(cat "$dir/err")" "exited with status 7" "... it ends by itself"

# What the kernel would be asked for is what was known last, or is asked of the tracer, and nobody sleeps at a lock.
script="global n, wrong probe process(\"$program\").function(\"work\") {
	n++
	if (execname() != \"late-filter\" || uid() != $(id -u) || @var(\"done\") < 0 || user_long(16) ||
		(n % 100 == 0 && symname(addr()) != \"work\") || user_string(16, \"none\") != \"none\") wrong++ }
	probe end { printf(\"n=%d wrong=%d\n\", n, wrong) }"
for case in "kill 0" "kill 3" "errno 2" "strict 0"; do
	threads=${case#* }
	want=$("$program" $case)
	"$utrace" run -DMAXTRYLOCK=1000000000 -e "$script" -c "$program $case" >"$dir/out" 2>"$dir/err"
	is "$(cat "$dir/out")" "$want
n=$((3000 * (threads + 1))) wrong=0" "handlers that ask, lock and follow pointers, $case"
	is "$(grep -v "Pass 5" "$dir/err")" "WARNING: Child process exited with status 7" "... it ends by itself"
done

begin() # ACTION THREADS END: a program that works, $target
{
	printf '  ' >"$dir/control"
	"$program" $1 $2 "$dir/control" $3 >"$dir/said" 2>"$dir/core" &
	target=$!
	pids="$pids $target"
	wait_for 60 grep -q ready "$dir/said"
}

attach() # $tracer, when it has everything in place
{
	: >"$dir/seen"
	"$utrace" run -o "$dir/seen" -e "global n probe process(\"$program\").function(\"work\") { n <<< 1 }
		probe timer.ms(20) { if (@count(n)) println(\"hit\") }
		probe end { println(\"end\") }" -x $target 2>"$dir/err" &
	tracer=$!
	pids="$pids $tracer"
	wait_for 60 grep -q hit "$dir/seen"
}

filter()
{
	printf X | dd of="$dir/control" conv=notrunc 2>/dev/null
	wait_for 60 grep -q filtered "$dir/said"
}

finish() # WANTED STATUS, NAME
{
	printf XX | dd of="$dir/control" conv=notrunc 2>/dev/null
	wait $target 2>/dev/null
	is "$? $(cat "$dir/said")" "$1 $(cat "$dir/want")" "$2"
}

text_is_clean()
{
	! text_state $target "$program" | grep -q "differs"
}

untraced()
{
	grep -q "TracerPid:	0" /proc/$target/status
}

# Attached to before; the run ends, or the tracer is killed, afterwards.
for case in "kill 2 trap 133" "errno 2 exit 7" "strict 0 exit 7"; do
	set -- $case
	"$program" $1 $2 >"$dir/want"
	begin $1 $2 $3
	attach
	filter
	kill -TERM $tracer
	wait $tracer
	text_is_clean
	ok $? "a filter while attached, $case: text is restored"
	like "$(cat "$dir/seen")" "^end" "... the run ends in order"
	like "$(cat "$dir/err")" "keeps [0-9]* bytes of probe code: it has put a seccomp filter on" "... what had to stay is told"
	unlike "$("$utrace" heal -p $target 2>&1)" "restored" "... and heal makes no call either"
	finish $4 "... it goes on, and ends as untraced"

	begin $1 $2 $3
	attach
	filter
	kill -KILL $tracer
	wait $tracer 2>/dev/null
	wait_for 60 text_is_clean
	ok $? "... the tracer killed: text is restored"
	wait_for 60 untraced
	finish $4 "... it goes on, and ends as untraced"
done
tap_done
