#!/bin/sh
# The example programs with probes: what they find is what the program has done.
# usage: test-uprobe-examples.sh EXAMPLES TRACEES
examples=$1
tracees=$2
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
running=
trap 'kill -9 $running 2>/dev/null; rm -rf "$dir"' EXIT
probed=$tracees/probed

printf 'c 1000\nf 10\n' >"$dir/orders"
want=$("$probed" <"$dir/orders")

out=$("$examples/example-count-calls" "$probed" inner "$probed" <"$dir/orders")
is "$out" "$want
2020 calls" "count-calls: the program does what it does, and its calls are counted in it, a child's too"

out=$("$examples/example-malloc-sizes" "$probed" inner "$probed" <"$dir/orders")
like "$out" '^2020 calls, [0-9]+ bytes, 0 failed$' "malloc-sizes: entries and returns are paired"
like "$out" '^ +512 bytes and more: 977$' "and sorted by the argument"
libc=$(ldd "$probed" | sed -n 's/.*=> \(.*libc[.]so[^ ]*\).*/\1/p')
out=$("$examples/example-malloc-sizes" "$libc" malloc sh -c 'true | cat')
like "$out" '^[1-9][0-9]* calls, [1-9][0-9]* bytes, 0 failed$' "malloc of a shell and its children"

# Threads that count for themselves.
for example in count-calls malloc-sizes; do
	out=$("$examples/example-$example" "$tracees/counter" leaf "$tracees/counter" 4 5000)
	like "$out" ' leaf=15000 ' "$example: four threads do what they do"
	like "$out" '^15000 calls' "and each call is counted"
done

# Signals whose handler looks where it interrupts: the program's own addresses, with probes of either kind.
for place in "count-calls work" "count-calls middle" "malloc-sizes blended" "malloc-sizes work"; do
	like "$("$examples/example-${place% *}" "$tracees/profiled" ${place#* } "$tracees/profiled" 1000)" "^ok 1000$" "$place: signals"
done

out=$("$examples/example-watch-mark" "$probed" probed call "$probed" <"$dir/orders")
like "$out" '^1010 hits$' "watch-mark: the semaphore is raised, in the child too"
like "$out" '^first in thread [0-9]+ at 0x[0-9a-f]+$' "and the place is told"

out=$("$examples/example-count-calls" "$probed" nothing "$probed" 2>&1)
is "$? $out" "1 error: $(realpath "$probed") has no function nothing" "a function that is not there"
out=$("$examples/example-watch-mark" "$probed" probed nothing "$probed" 2>&1)
is "$? $out" "1 error: $probed has no mark nothing of probed" "a mark that is not there"
out=$("$examples/example-count-calls" "$probed" inner /nonexistent 2>&1)
like "$? $out" '^1 error: cannot run /nonexistent' "a command that is not there"
"$examples/example-count-calls" "$probed" inner >"$dir/out" 2>&1
is $? 2 "no command: usage"

# A running process, attached to and let go.
mkfifo "$dir/to" "$dir/from"
"$probed" <"$dir/to" >"$dir/from" &
running=$!
exec 3>"$dir/to" 4<"$dir/from"
read -r line <&4
cp "/proc/$running/maps" "$dir/before"
"$examples/example-count-calls" "$probed" inner -p "$running" >"$dir/out" &
tracer=$!
# text that is patched is the process's own
while ! awk '/ r-xp .*probed/ { text = 1 } text && /^Private_Dirty/ { exit $2 == 0 }' "/proc/$running/smaps"; do
	kill -0 "$tracer" || break
done
echo "c 50" >&3
read -r line <&4
kill -INT "$tracer"
wait "$tracer"
is $? 0 "^C ends it"
like "$(cat "$dir/out")" '^100 calls$' "and all calls of a running process were counted"
echo "c 1" >&3
read -r line <&4
is "$line" 220 "which runs on"
is "$(sed 's/ .*//' "/proc/$running/maps")" "$(sed 's/ .*//' "$dir/before")" "with nothing of ours in it"
exec 3>&- 4<&-
wait "$running"
is $? 0 "until it ends"
running=
tap_done
