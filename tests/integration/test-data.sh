#!/bin/sh
# process.data probes on a program that knows what it wrote.   usage: test-data.sh UTRACE TRACEES
utrace=$1
tracees=$(realpath "$2")
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill -9 $pid 2>/dev/null; rm -rf "$dir"' EXIT
program=$tracees/watched
export program

run() # SCRIPT COMMAND [OPTION...]: what the script prints, with errors
{
	script=$1 command=$2
	shift 2
	"$utrace" run "$@" -e "$script" -c "$command" 2>&1 | grep -v '^wrote \|^at 0x'
}

like "$("$utrace" run --dump-probe-types)" '^process\(string\)\.data\(string\)\.length\(number\)\.rw$' "--dump-probe-types"
if why=$(run 'probe process.data("counter").write { exit() }' "$program 1") && [ -n "$why" ]; then
	like "$why" "may not open perf events|cannot watch the data|are all in use|no such perf event" "who cannot watch is told why"
	tap_done
	exit
fi

# ---- whose accesses, and where
writes='probe process.data("counter").write { if (usymname(uaddr()) == "put") n++ } global n probe end { println(n) }'
for mode in inject ptrace; do
	is "$(run "$writes" "$program 1000" --mode=$mode)" "1000" "$mode: each write, at its instruction"
	is "$(run "$writes" "$program 500 threads" --mode=$mode)" "2000" "$mode: of threads"
	is "$(run "$writes" "$program 500 fork" --mode=$mode)" "1000" "$mode: of children"
	is "$(run "$writes" "$program 500 vfork" --mode=$mode)" "1000" "$mode: of a vfork child"
	is "$(run "$writes" "$program 500 exec" --mode=$mode)" "1000" "$mode: after an exec"
	is "$(run "$writes probe process.function(\"put\") { m++ } global m probe end { println(m) }" "$program 500" --mode=$mode)" \
		"$(printf '500\n500')" "$mode: by an instruction that is probed itself"
	is "$(run 'global n, sum probe process.data("counter").write { sum += @var("counter@watched.c") }
		probe process.function("put_narrow") { println(sum) }' "$program 100" --mode=$mode)" "4950" "$mode: the handler sees what was written"
done
is "$(run 'probe process(@1).data("counter").write { n++ } global n probe end { println(n) }' \
	"sh -c '$program 10; $program 20'" "$program" 2>&1)" "30" "a program by its path, whoever starts it"
is "$(run 'probe process.data("counter").rw { n++ } global n probe end { println(n) }' "$program 100")" "200" "reads as well"
is "$(run 'probe process.data("narrow").write { println(@var("narrow@watched.c")) }' "$program 77")" "77" "two bytes"
is "$(run 'probe process.data("table").length(8).write { n++ } global n probe end { println(n + 0) }' "$program 7")" "0" ".length of a part"
address=$(nm "$program" | sed -n 's/ [BD] counter$//p')
is "$(run "probe process.data(0x$address).length(8).write { n++ } global n probe end { println(n) }" "$program 50")" "50" \
	"an address of the file"
is "$(run 'probe process.data("counter").write { n++ } probe process.data("counter").length(4).rw { m++ } global n, m
	probe end { println(n, " ", m) }' "$program 300")" "300 600" "two probes on the same bytes"
is "$(run 'probe process.data("counter").write { printf("%s %s %s\n", pn(), pp(), probe_type()); exit() }' "$program 1")" \
	"process(\"$program\").data(\"counter\").write process(\"$program\").data(\"counter\").write hardware_data_breakpoint" "pn(), pp(), probe_type()"
like "$(run 'probe process.library("libc.so.6").data("__libc_single_threaded").write { n++ } global n probe end { println(n) }' \
	"$program 10 threads")" "^[1-9][0-9]*$" "a library that the program needs"
is "$(run 'probe process.library(@1).data("total").write { n++ } global n probe end { printf("calls=%d\n", n) }' \
	"$tracees/loader $tracees/libplugin.so 10" "$tracees/libplugin.so" -w | sort -u | grep -c .)" "1" \
	"one that is opened and closed, in two copies at once: as many writes as calls"
like "$(run 'probe process.data("counter").write { print_ubacktrace(); exit() }' "$program 1" | tr '\n' ' ')" ': put\+0x.*: main\+0x' "its stack"
is "$(run 'global n probe process.data("counter").write { n++; exit() } probe process.data("counter").length(1).write { n++ }
	probe end { println(n) }' "$program 100")" "1" "exit() in a handler is the last"

# ---- who has SIGTRAP blocked
like "$(run "$writes" "$program 50 blocked")" 'WARNING: 50 accesses to watched data were not seen: SIGTRAP was blocked' \
	"accesses that nobody could stop at are counted"

is "$(run 'probe process.data("counter").write { n++ } probe process.function("look") { m++ } global n, m
	probe end { println(n, " ", m) }' "$program 50 blocked" --mode=ptrace)" "50 50" \
	"a breakpoint of ours that the signal which waits stands for"

# ---- coming and going while it is busy
start() # HOW
{
	mkfifo "$dir/in" 2>/dev/null
	rm -f "$dir/out" "$dir/busy"
	"$program" 1 $1 <"$dir/in" >"$dir/out" &
	pid=$!
	exec 3>"$dir/in"
	wait_for 5 grep -q at "$dir/out"
}
finish() # NAME
{
	exec 3>&-
	wait $pid
	is "$?:$(tail -1 "$dir/out")" "0:wrote 1" "$1"
	pid=
}
clean()
{
	! grep -q utrace "/proc/$pid/maps"
}
start spin
at=$(sed -n 's/^at //p' "$dir/out")
counted=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	n=$("$utrace" run -x $pid -e "probe process($pid).data($at).length(8).write { if (++n == 500) exit() } global n
		probe end { println(n >= 500) }" 2>"$dir/err")
	[ "$n" = 1 ] && clean && counted=$((counted + 1))
done
is "$counted" 10 "attach, 500 hits and detach, ten times"
stayed=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	rm -f "$dir/busy"
	"$utrace" run -x $pid -e 'probe process.data("counter").write { if (++n == 200) println("busy") } global n' \
		>"$dir/busy" 2>"$dir/err" &
	tracer=$!
	wait_for 10 grep -q busy "$dir/busy"
	kill -9 $tracer
	wait $tracer 2>/dev/null
	wait_for 10 clean || stayed=$((stayed + 1))
done
is "$stayed" 0 "tracers killed at work, ten times: nothing stays"
finish "the program has noticed nothing"
for how in INT KILL; do
	start held
	"$utrace" run -x $pid -e 'probe timer.ms(20) { println("busy") } probe process.data("counter").write { n++ } global n' \
		>"$dir/busy" 2>"$dir/err" &
	tracer=$!
	wait_for 10 grep -q busy "$dir/busy"
	echo >&3
	wait_for 10 grep -q held "$dir/out"
	kill -$how $tracer
	wait $tracer 2>/dev/null
	wait_for 10 clean
	finish "a signal that waited, blocked, when the tracer went by SIG$how"
done

# ---- where it cannot be
if "$tracees/sandboxed" true; then
	like "$(run "probe process(@1).data(\"counter\").write { n++ } global n probe end { println(n) }" \
		"$tracees/sandboxed $program 10" "$program" | tr '\n' ' ')" \
		'WARNING: data of process [0-9]* is not watched: .*0 $' "under a seccomp filter it is not tried"
else
	skip "no seccomp filters here"
fi

# ---- mistakes
mistake() # POINT MESSAGE
{
	like "$(run "probe process.$1 { }" "$program 1")" "$2" "$1"
}
mistake 'data("nothing").write' "semantic error: no match: $program has no variable 'nothing'"
mistake 'data("table").write' "semantic error: table has 100 bytes; a debug register watches 1, 2, 4 or 8: say of which"
mistake 'data("table").length(3).write' "semantic error: .length has 3 bytes"
mistake 'data("table").length(0).write' "semantic error: .length has 0 bytes"
mistake 'data(0x4011).length(4).rw' "semantic error: 0x4011 is no multiple of 4"
mistake 'data(0xffffffff81000000).write' "semantic error: 0xffffffff81000000 is no address of a program"
mistake 'data("counter")' "semantic error: probe point truncated"
like "$(run 'probe process.data("counter").write { println($value) }' "$program 1")" \
	'semantic error: data probes have no target symbols' "target symbols"
like "$(run "probe process(\"$tracees/libplugin.so\").data(\"total\").write { n++ } global n" "$program 1")" \
	"semantic error: data of a library is watched in one program: " "a library by itself"
five='probe process.data("counter").write { n++ } '
like "$(run "global n $five $five $five $five $five" "$program 1")" "the debug registers of the processor are all in use" \
	"more than the processor has"
tap_done
