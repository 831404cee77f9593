#!/bin/sh
# Tracers that come, trace all calls of hundreds of threads, and go: in order, and killed.   usage: engine-bystanders.sh BUILD
here=$(dirname "$0")
. "$here/../lib/tap.sh"
build=$1
dir=$(mktemp -d)
many=
trap 'kill -9 $many 2>/dev/null; rm -rf "$dir"' EXIT

torture() # SIGNAL: rounds until half of the time is over; leaves what the program printed in $dir/many
{
	rm -f "$dir/input" "$dir/many"
	mkfifo "$dir/input"
	"$build/tests/tracees/many-threads" 300 <"$dir/input" >"$dir/many" &
	many=$!
	exec 9>"$dir/input"
	wait_for 60 grep -q ready "$dir/many"
	end=$(($(date +%s) + DURATION / 2)) rounds=0 stuck=0
	while [ "$rounds" = 0 ] || [ "$(date +%s)" -lt "$end" ]; do
		rm -f "$dir/calls"
		"$build/examples/engines/example-calls-and-crashes" -o "$dir/calls" -p $many 2>"$dir/err" 9>&- &
		tracer=$!
		wait_for 60 test -s "$dir/calls"
		kill "-$1" $tracer
		wait $tracer 2>/dev/null
		! grep -Eq '^(State:.*[tT] \(|TracerPid:.[1-9])' /proc/$many/task/*/status || stuck=$((stuck + 1))
		rounds=$((rounds + 1))
	done
	exec 9>&-
	wait $many
	many=
}

torture TERM
is $stuck 0 "$rounds tracers that let go: no thread is left stopped"
like "$(cat "$dir/many")" '^300 threads, [0-9]+ rounds, 0 disturbed$' "and no call was disturbed"
torture KILL
is $stuck 0 "$rounds tracers that were killed: no thread is left stopped"
like "$(cat "$dir/many")" '^300 threads, ' "and all have gone on to their end"
tap_done
