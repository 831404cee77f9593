#!/bin/sh
# Frames that end, move or repeat in unusual ways, and signals and libraries that come while probes are put in.
# Each case prints what it computed itself; probes must say the same.   usage: test-hazards.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
pids=

# The same counts from entries, returns and values kept from the entry.
script='global c, r, s
probe process.function("work").call { c++ } probe process.function("recurse").call ? { c++ }
probe process.function("work").return { r++ } probe process.function("recurse").return ? { r++ }
probe process.function("work").return { s += @entry($n) } probe process.function("recurse").return ? { s += @entry($n) }
probe end { printf("calls=%d returns=%d sum=%d\n", c, r, s) }'

agrees() # MODE NAME COMMAND
{
	"$utrace" run --mode=$1 -o "$dir/seen" -e "$script" -c "$3" >"$dir/out" 2>"$dir/err"
	[ -s "$dir/out" ] && like "$(cat "$dir/out")" "^calls=[1-9]" "$2, $1: the program comes to its end"
	is "$(cat "$dir/seen" "$dir/err")" "$(cat "$dir/out")" "... calls, returns and values of entries agree"
}

agrees inject "longjmp over one frame and two" "$tracees/hazards longjmp 3000"
agrees inject "fibers: swapcontext in probed frames" "$tracees/hazards fibers 1000"
agrees inject "pthread_exit in a probed frame" "$tracees/hazards exit 300"
agrees inject "threads cancelled in a probed frame" "$tracees/hazards cancel 300"
agrees inject "clone(CLONE_VM) children, vforked or not" "$tracees/hazards clone 100"
agrees inject "alternate stacks, left by siglongjmp" "$tracees/hazards altstack 3000"
agrees inject "recursion 10^5 deep" "$tracees/hazards deep 100000"
for case in "longjmp 200" "fibers 50" "exit 50" "cancel 50" "clone 50" "altstack 200" "deep 2000"; do
	agrees ptrace "${case% *}" "$tracees/hazards $case"
done

# Recursion too deep for the values of entries: none is wrong, and what is missing is counted.
out=$("$utrace" run -e 'global r, ok, last probe process.function("recurse").return { r++ }
	probe process.function("recurse").return { n = @entry($n); if (ok && n != last + 1) wrong++; last = n; ok++
		if (wrong) println("wrong") }
	probe end { printf("all=%d kept=%d\n", r, ok) }' -c "$tracees/hazards deep 300000" 2>"$dir/err" | grep -v calls)
kept=${out##*kept=}
like "$out" "^all=300001 kept=[1-9][0-9]{5}$" "recursion 3*10^5 deep: all values that are told are right"
is "$(sed -n 's/^WARNING: \([0-9]*\) returns were skipped.*/\1/p' "$dir/err")" "$((300001 - ${kept:-0}))" \
	"... the others are counted"

# A handler of a signal that interrupts one of ours is skipped as a whole, and counted.
out=$("$utrace" run -v -e "$script" -c "$tracees/hazards storm 3000000" 2>"$dir/err" | sed 's/ sum.*//' | sort -u)
like "$out" "^calls=[0-9]* returns=[0-9]*$" "a storm of signals whose handler is probed"
is "$(printf '%s\n' "$out" | wc -l)" "1" "... counts are exact"

# Threads that come and go all the time: each has its context, and none is skipped.
for wrap in "" "unshare -pf"; do
	$wrap true 2>/dev/null || { skip "no namespace can be made here"; skip "no namespace can be made here"; continue; }
	out=$("$utrace" run -e "global n probe process(\"$tracees/churn\").function(\"short_life\") { n++ } probe end { println(n) }" \
		-c "$wrap sh -c 'sleep 3 | $tracees/churn 4'" 2>"$dir/err")
	is "$(printf '%s\n' "$out" | tail -n 1) threads" "$(printf '%s\n' "$out" | head -n 1)" "thousands of short threads${wrap:+, in a namespace}"
	unlike "$(cat "$dir/err")" "skipped probes: [1-9]" "... no hit is skipped"
done

# The same storm while probes come and go.
"$tracees/hazards" storm 2000000000 >"$dir/storm" &
storm=$!
pids="$pids $storm"
visits=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	"$utrace" run -e 'global n probe process.function("work") { n++ } probe process.function("work").return { if (++n > 5000) exit() }
		probe process.function("on_tick") { n++ } probe process.function("on_tick").return { n++ }
		probe process.library("libc.so*").function("__restore_rt") ? { n++ }' -x $storm >/dev/null 2>"$dir/err" && visits=$((visits + 1))
done
is "$visits" "10" "ten visits to a process in a storm of signals"
is "$(text_state $storm)" "same" "... leave nothing behind"
kill -0 $storm
ok $? "... and it lives"
kill $storm
wait $storm 2>/dev/null

# The frame of a signal is known by the bytes it returns to.
libc=$(ldd "$tracees/hazards" | sed -n 's/.*libc\.so.* => \([^ ]*\).*/\1/p')
if [ -n "$("$utrace" list "process(\"$libc\").function(\"__restore_rt\")" 2>/dev/null)" ]; then
	like "$("$utrace" list -v "process(\"$libc\").function(\"__restore_rt\")" 2>&1)" \
		"refused: .*returns from a signal" "__restore_rt is never patched"
else
	skip "libc without symbols: __restore_rt"
fi

# Functions in assembly return values in flags, also where they have debug information (Go's asyncPreempt).
plain=$("$tracees/hazards" flags 1000)
out=$("$utrace" run -e 'global n probe process.function("above") { n++ } probe process.function("above").return { n++ }
	probe end { println(n) }' -c "$tracees/hazards flags 1000" 2>"$dir/err")
is "$out" "$plain
2000" "flags that assembly returns"

# An exit with room for a short jump only, and no padding within its reach: through other instructions' window.
like "$("$utrace" list -v "process(\"$tracees/hazards\").function(\"dense\").return" 2>&1)" "short jump through other instructions at" \
	"code without padding: the exits' jumps lead through other instructions"
for mode in inject ptrace; do
	out=$("$utrace" run --mode=$mode -e 'global c, r probe process.function("dense").call { c++ } probe process.function("dense").return { r++ }
		probe end { printf("calls=%d returns=%d\n", c, r) }' -c "$tracees/hazards dense 1000" 2>"$dir/err" | sed 's/ sum.*//' | sort -u)
	is "$out" "calls=3000 returns=3000" "... calls and returns agree, $mode"
done
"$tracees/hazards" dense 2000000000 >"$dir/dense" &
dense=$!
pids="$pids $dense"
visits=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ "$("$utrace" run -e 'global n probe process.function("dense").return { if (++n > 5000) exit() } probe end { println(n > 5000) }' \
		-x $dense 2>>"$dir/err")" = 1 ] && visits=$((visits + 1))
done
is "$visits" "10" "... ten visits to three threads"
is "$(text_state $dense)" "same" "... leave nothing behind"
for delay in 0.05 0.1 0.2 0.4; do
	"$utrace" run -e 'global n probe process.function("dense*").return { n++ } probe process.function("dense*") { n++ }' -x $dense >/dev/null 2>&1 &
	tracer=$!
	sleep $delay
	kill -KILL $tracer
	wait $tracer 2>/dev/null
	clean() { [ "$(text_state $dense)" = same ]; }
	wait_for 20 clean && kill -0 $dense
	ok $? "... killed after $delay s: clean, and it lives"
done
kill $dense
wait $dense 2>/dev/null
is "$(cat "$dir/dense")" "" "... and was never wrong"

# As text_state(), of a process whose mappings never stay while one looks.
held_state() # PID
{
	kill -STOP "$1"
	text_state "$1"
	kill -CONT "$1"
}

# A library comes and goes all the time while probes in it do.
"$tracees/loader" "$tracees/libplugin.so" 100000000 >"$dir/loader" 2>&1 &
loader=$!
pids="$pids $loader"
good=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
	out=$("$utrace" run -e "global n probe process(\"$tracees/libplugin.so\").function(\"*\") { if (++n > 200) exit() }
		probe process(\"$tracees/libplugin.so\").function(\"plugin_work\").return { n++ }
		probe end { println(n > 200) }" -x $loader 2>>"$dir/err")
	[ "$out" = 1 ] && good=$((good + 1))
done
is "$good" "15" "fifteen visits to a process that loads and unloads what is probed"
kill -0 $loader
ok $? "... which lives"
for delay in 0.03 0.06 0.1 0.15 0.2; do
	"$utrace" run -e "probe process(\"$tracees/libplugin.so\").function(\"*\") { next }" -x $loader >/dev/null 2>&1 &
	tracer=$!
	sleep $delay
	kill -KILL $tracer
	wait $tracer 2>/dev/null
	clean() { [ "$(held_state $loader)" = same ]; }
	wait_for 30 clean && kill -0 $loader
	ok $? "... also when the tracer is killed after $delay s"
done
kill $loader
wait $loader 2>/dev/null

# In its place comes another file with other code: nobody's text gets the other's patches.
"$tracees/loader" "$tracees/libplugin.so" 100000000 "$tracees/libplugin-other.so" >"$dir/loader" 2>&1 &
loader=$!
pids="$pids $loader"
good=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
	which=libplugin.so
	[ $((i % 3)) = 0 ] && which='libplugin*.so'
	[ $((i % 3)) = 1 ] && which=libplugin-other.so
	out=$("$utrace" run -e "global n probe process(\"$tracees/$which\").function(\"*\") { if (++n > 200) exit() }
		probe process(\"$tracees/$which\").function(\"plugin_*\").return { n++ }
		probe end { println(n > 200) }" -x $loader 2>>"$dir/err")
	[ "$out" = 1 ] && good=$((good + 1))
	[ $((i % 5)) = 0 ] || continue
	"$utrace" run -e "probe process(\"$tracees/$which\").function(\"*\") { next }" -x $loader >/dev/null 2>&1 &
	tracer=$!
	sleep 0.1
	kill -KILL $tracer
	wait $tracer 2>/dev/null
	clean() { [ "$(held_state $loader)" = same ]; }
	wait_for 30 clean || good=-100
done
is "$good" "15" "fifteen visits to a process where two libraries come to the same place in turn"
kill -0 $loader
ok $? "... which lives"
is "$(cat "$dir/loader")" "" "... and computes the same"
kill $loader
wait $loader 2>/dev/null

# Go enters duffzero and duffcopy in the middle: whoever leaves has not come in.
if [ -x "$tracees/points-go" ]; then
	plain=$("$tracees/points-go" 300)
	out=$("$utrace" run -e 'global n, d probe process.function("runtime.duff*") { d++ } probe process.function("runtime.duff*").return { d-- }
		probe process.function("runtime.mem*") { n++ } probe end { println(n > 100, d) }' -c "$tracees/points-go 300" 2>"$dir/err")
	is "$out" "$plain
10" "Go: duffzero, duffcopy, memmove probed"
	# a signal comes while a handler begins or ends: those of Go's own signal handlers must not take its stack
	want=$("$tracees/moving-go" 400)
	for round in 1 2 3; do
		out=$("$utrace" run -o "$dir/seen" -e 'global m probe process.function("*") { if (randint(101) == 0) m <<< strlen(ubacktrace()) > 0 }
			probe end { println(@sum(m) > 100) }' -c "$tracees/moving-go 400" 2>/dev/null)
		is "$out $(cat "$dir/seen")" "$want 1" "Go: long handlers, interrupted by its signals"
	done
	plain=$("$tracees/moving-go" 50)
	out=$("$utrace" run -e 'global c, r probe process.function("main.work") { c++ } probe process.function("main.work").return { r++ }
		probe end { printf("calls=%d returns=%d\n", c, r) }' -c "$tracees/moving-go 50" 2>"$dir/err")
	is "$out" "$plain
calls=3200 returns=3200" "Go: goroutines that change threads and stacks in a probed frame"
	for mode in inject ptrace; do
		out=$("$utrace" run --mode=$mode -e 'global r, s probe process.function("main.work").return { s += @entry($n); r++ }
			probe end { printf("returns=%d sum=%d\n", r, s) }' -c "$tracees/moving-go 50" 2>"$dir/err")
		is "$out" "$plain
returns=3200 $(printf '%s' "$plain" | sed 's/.* //')" "... with the values of their entries, $mode"
	done
	out=$("$utrace" run -e 'probe process.function("main.locate").return {
			printf("%d %s %d %s ", $return->near, fp_to_string($return->half, 1), $return->far >> 40, user_string_n($return->name->str, $return->name->len)) }
		probe process.function("strconv.Atoi").return { println($return) }' -c "$tracees/moving-go 3" 2>"$dir/err" | grep -v calls)
	is "$out" "-7 3.5 7 here 3" "Go: results in registers"
	like "$("$utrace" run -e 'probe process.function("main.four").return { println($return[0]) }' -c "$tracees/moving-go 3" 2>&1)" \
		"the result of 'main.four' is not in registers" "... and elsewhere"
	# More at a time than there is room for: what is told is right, what is not is counted.
	for count in 3000 40000; do
		out=$("$utrace" run -e 'global ok, n, f probe process.function("main.hold").return { n++; if (@entry($n) == $return) ok++; else println("wrong") }
			probe process.function("main.fail").return { f++; if (@entry($n) % 3 == 0) println("wrong") }
			probe end { printf("%d %d %d\n", n, ok, f) }' -c "$tracees/moving-go 1 $count" 2>"$dir/err" | grep -v calls)
		kept=${out%% *}
		lost=$(sed -n 's/^WARNING: \([0-9]*\) returns were skipped.*/\1/p' "$dir/err")
		is "$out" "$kept $kept ${out##* }" "$count goroutines at a time: no wrong value"
		[ $((kept + ${lost:-0} + ${out##* })) = $((3 * count)) ]
		ok $? "... all are kept or counted: $out, ${lost:-0} lost"
	done
else
	skip "no go here: Go programs"
fi
tap_done
