#!/bin/sh
# Processes whose first thread exits before the others: /proc shows no memory under their number any more;
# and threads that end before they have begun.
# usage: test-leaderless.sh UTRACE TRACEES
utrace=$1
program=$2/leaderless
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill -9 $pids 2>/dev/null; rm -rf "$dir"' EXIT
mkfifo "$dir/to"

start() # $target
{
	: >"$dir/said"
	"$program" <"$dir/to" >"$dir/said" &
	target=$!
	pids="$pids $target"
	exec 3>"$dir/to"
	wait_for 60 grep -q ready "$dir/said"
}

is_leaderless() { grep -q '^State:.Z' /proc/$target/status; }

end_leader()
{
	echo >&3
	exec 3>&-
	wait_for 60 is_leaderless
}

is_clean() { [ "$(text_state $target)" = same ]; }

attach() # MODE: $tracer, whose output goes on until it ends
{
	: >"$dir/seen"
	"$utrace" run --mode=$1 -o "$dir/seen" -e "global n probe process(\"$program\").function(\"work\") {
			if (n++ == 10) print_ubacktrace() if (n % 10 == 0) println(\"hit \", n) }
		probe end { println(\"end\") }" -x $target 2>"$dir/err" &
	tracer=$!
	pids="$pids $tracer"
	wait_for 60 grep -q hit "$dir/seen"
}

goes_on() # whoever hits now does so after the leader has gone
{
	lines=$(grep -c hit "$dir/seen")
	more() { [ "$(grep -c hit "$dir/seen")" -gt $((lines + 5)) ]; }
	wait_for 60 more
}

leave() # SIGNAL MODE NAME
{
	goes_on
	ok $? "$3, $2: hits"
	like "$(tr "\n" " " <"$dir/seen")" " : labour\\+0x.* : start_thread\\+0x" "... with their callers"
	kill -$1 $tracer
	wait $tracer 2>/dev/null
	[ $1 = KILL ] || like "$(tail -n 1 "$dir/seen")" "^end$" "... a whole run"
	wait_for 60 is_clean
	ok $? "... nothing stays behind SIG$1"
	kill -0 $target
	ok $? "... and the process lives"
}

for mode in inject ptrace; do
	for signal in INT KILL; do
		start
		attach $mode
		end_leader
		leave $signal $mode "the leader exits while traced"
		attach $mode
		leave $signal $mode "it was gone before"
		kill -9 $target
	done
done
# Killed while threads are created: some end before anybody has told of them.
for mode in inject ptrace; do
	out=$(echo | timeout 200 "$utrace" run --mode=$mode -e 'global n probe process.function("live") { n++ } probe end { println(n > 0) }' \
		-c "$2/stillborn 200" 2>&1)
	is "$(echo $out)" "200 killed 1" "$mode: processes that are killed while they create threads are let go of"
done

# The same of processes: their children are given to another parent, whom they have to tell of themselves.
all_clean()
{
	for p in $(pgrep -x stillborn); do
		[ "$(text_state $p)" = same ] || return 1
	done
}
for mode in inject ptrace; do
	mkfifo "$dir/orders"
	"$2/stillborn" 40 forks <"$dir/orders" >"$dir/killed" &
	target=$!
	exec 3>"$dir/orders"
	"$utrace" run --mode=$mode -o "$dir/seen" -e 'global n probe process.function("live") { n++ }
		probe end { println(n > 0) }' -x $target >"$dir/said" 2>&1 &
	tracer=$!
	armed() { [ "$(text_state $target)" != same ]; }
	wait_for 60 armed
	echo >&3
	wait_for 100 grep -q "^40 killed" "$dir/killed"
	ok $? "$mode: processes that are killed while they fork"
	many=$(pgrep -xc stillborn)
	wait_for 10 sh -c '! cat /proc/[0-9]*/stat 2>/dev/null | grep -q "^[0-9]* (stillborn) t"'
	ok $? "... none of their $many children is kept"
	kill -INT $tracer
	wait $tracer 2>/dev/null
	is "$(tail -n 1 "$dir/seen") $(cat "$dir/said")" "1 " "... and they are probed, without complaint"
	wait_for 20 all_clean
	ok $? "... text as before in all of them"
	exec 3>&-
	pkill -9 -x stillborn
	wait $target 2>/dev/null
	rm "$dir/orders"
done
tap_done
