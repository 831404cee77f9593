#!/bin/sh
# make bench: nanoseconds each hit adds to a hot function, in one run with the peers on this machine.
# Every figure is the difference of the best burst to the untraced program's best burst.
set -u
build=$1
here=$(dirname "$0")
utrace=$build/utrace
dir=$(mktemp -d "${TMPDIR:-/tmp}/utrace-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT
bursts=${BENCH_BURSTS:-60}
calls=${BENCH_CALLS:-10000}
pause=${BENCH_PAUSE_US:-20000}

${CC:-cc} -O2 -o "$dir/workload" "$here/workload.c" || exit 1
run="$dir/workload $bursts $calls $pause"

best()
{
	sed -n 's/^best \([0-9.]*\) .*/\1/p' "$1" | tail -n 1
}

row() # label, file of the traced run, remark
{
	traced=$(best "$2")
	if [ -z "$traced" ]; then
		printf '%-44s %10s   %s\n' "$1" "-" "${3:-did not run}"
		return
	fi
	awk -v l="$1" -v t="$traced" -v b="$base" -v r="${3:-}" \
		'BEGIN { printf "%-44s %10.2f   %s\n", l, t - b, r }'
}

traced() # label, script[, options]
{
	label=$1 script=$2
	shift 2
	"$utrace" run "$@" -o /dev/null -e "$script" -c "$run" >"$dir/out" 2>"$dir/err"
	lost=$(sed -n 's/^WARNING: There were \([0-9]*\) transport failures.*/\1 records lost/p' "$dir/err")
	row "$label" "$dir/out" "${lost:-$(sed -n 's/^\(error\|ERROR\|semantic error\): /&/p' "$dir/err" | head -n 1)}"
}

printf 'machine: %s, %s CPUs, Linux %s\n' \
	"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)"
$run >"$dir/base" || exit 1
$run >>"$dir/base"
base=$(sed -n 's/^best \([0-9.]*\) .*/\1/p' "$dir/base" | sort -n | head -n 1)
printf 'untraced call: %s ns (best of bursts of %s calls)\n\n' "$base" "$calls"
printf '%-44s %10s\n' "added to each call" "ns"

w=$dir/workload
traced "utrace: count" "global n; probe process(\"$w\").function(\"work\") { n++ }"
traced "utrace: count, handlers in the tracer" "global n; probe process(\"$w\").function(\"work\") { n++ }" --mode=ptrace
traced "utrace: count by integer key" "global n; probe process(\"$w\").function(\"work\") { n[long_arg(1)]++ }"
traced "utrace: count by two integer keys" "global n; probe process(\"$w\").function(\"work\") { n[long_arg(1), tid()]++ }"
traced "utrace: statistic by integer key" \
	"global s; probe process(\"$w\").function(\"work\") { s[long_arg(1)] <<< long_arg(2) } probe end { foreach (k in s) println(@avg(s[k])) }"
traced "utrace: the last value, under its lock" "global n; probe process(\"$w\").function(\"work\") { n = long_arg(1) } probe end { println(n) }"
traced "utrace: record, 3 numbers" "probe process(\"$w\").function(\"work\") { printf(\"%d %d %d\\n\", 1, long_arg(1), long_arg(2)) }"
traced "utrace: record, time stamp + 2 arguments" \
	"probe process(\"$w\").function(\"work\") { printf(\"%d %d %d\\n\", gettimeofday_ns(), long_arg(1), long_arg(2)) }"
traced "utrace: latency histogram (entry + return)" \
	"global h; probe process(\"$w\").function(\"work\").return { h <<< gettimeofday_ns() - @entry(gettimeofday_ns()) } probe end { print(@hist_log(h)) }"

if [ -x "$build/examples/uprobes/example-count-calls" ]; then
	"$build/examples/uprobes/example-count-calls" "$w" work $run >"$dir/out" 2>"$dir/err"
	row "libutrace-uprobes: a native function" "$dir/out"
	"$build/examples/uprobes/example-malloc-sizes" "$w" work "$w" 3 1000 1000 >"$dir/out" 2>"$dir/err"
	row "libutrace-uprobes: handler and ret_handler" "$dir/out" "two stops"
fi

plain=$run base_before=$base
run="$dir/workload $bursts 1000 $pause 20"
$run >"$dir/out"
base=$(best "$dir/out")
traced "utrace: stack of 20 frames, found" "global n; probe process(\"$w\").function(\"work\") { if (ustack(19)) n++ }"
traced "utrace: stack of 20 frames, print_ubacktrace()" "probe process(\"$w\").function(\"work\") { print_ubacktrace() }"
traced "utrace: stack of 20 frames, ubacktrace()" "global s; probe process(\"$w\").function(\"work\") { s = ubacktrace() } probe end { println(s) }"
run=$plain base=$base_before

if command -v uftrace >/dev/null 2>&1; then
	uftrace record -d "$dir/uftrace" --no-libcall -P '^work$' $run >"$dir/out" 2>"$dir/err"
	grep -q . "$dir/out" || cp "$dir/err" "$dir/out"
	row "uftrace -P: entry + exit record" "$dir/out"
else
	printf '%-44s %10s   not installed: package uftrace\n' "uftrace -P: entry + exit record" "-"
fi

if pkg-config --exists lttng-ust 2>/dev/null && command -v lttng >/dev/null 2>&1; then
	if ${CC:-cc} -O2 -DWITH_LTTNG -I"$here" -o "$dir/workload-lttng" "$here/workload.c" \
		"$here/lttng-tracepoint.c" $(pkg-config --cflags --libs lttng-ust) -ldl 2>"$dir/err"; then
		export LTTNG_HOME="$dir/lttng"
		mkdir -p "$LTTNG_HOME"
		if ! pgrep -u "$(id -u)" lttng-sessiond >/dev/null; then
			lttng-sessiond --daemonize --pidfile="$dir/sessiond.pid" >/dev/null 2>&1
		fi
		{
			lttng create utrace-bench --output="$dir/lttng-out"
			lttng enable-channel --userspace --subbuf-size=4M --num-subbuf=4 c0
			lttng enable-event --userspace -c c0 'utrace_bench:*'
			lttng start
		} >/dev/null 2>&1
		"$dir/workload-lttng" "$bursts" "$calls" "$pause" >"$dir/out"
		lttng destroy utrace-bench >/dev/null 2>&1
		[ ! -s "$dir/sessiond.pid" ] || kill "$(cat "$dir/sessiond.pid")"
		row "LTTng-UST, compiled in: record, 2 arguments" "$dir/out"
	else
		printf '%-44s %10s   %s\n' "LTTng-UST, compiled in" "-" "$(head -n 1 "$dir/err")"
	fi
else
	printf '%-44s %10s   not installed: packages lttng-tools, liblttng-ust-dev\n' "LTTng-UST, compiled in" "-"
fi

printf '\nstart of the run (fork to first call of a probed /usr/bin/python3 -c pass), ms\n'
python=/usr/bin/python3
for i in 1 2 3; do
	start=$(date +%s%N)
	"$utrace" run -e 'global n; probe process.function("Py_BytesMain") { n++ } probe process.function("PyDict_New") { n++ }' \
		-c "$python -S -c pass" >/dev/null 2>"$dir/err"
	end=$(date +%s%N)
	$python -S -c pass
	plain=$(date +%s%N)
	echo "$(((end - start - (plain - end)) / 1000000))"
done | sort -n | head -n 1

# Passes 1 to 4, without a program: what compiling costs, and what is left of it the second time.
i=0
while [ $i -lt 100 ]; do
	cat <<-END
		probe process("$w").function("work") {
			n[long_arg(1), execname()]++
			t <<< long_arg(2)
			if (long_arg(1) > $i) printf("%d %s %d\n", long_arg(1), ppfunc(), gettimeofday_us())
		}
	END
	i=$((i + 1))
done >"$dir/hundred.stp"
cat >>"$dir/hundred.stp" <<'END'
global n, t
probe end { foreach ([a, b] in n) printf("%d %s %d\n", a, b, n[a, b]); println(@avg(t)) }
END
printf '\n-p4 of a hundred probes, ms of processor time (mean of 5)\n'
for how in --disable-cache ""; do
	"$utrace" run $how -p4 "$dir/hundred.stp" >/dev/null 2>&1
	sh -c "for i in 1 2 3 4 5; do '$utrace' run $how -p4 '$dir/hundred.stp'; done >/dev/null 2>&1; times" | tail -n 1 | tr ms '  ' |
		awk -v how="${how:-from the cache}" '{ printf "%-44s %10.0f\n", how, ($1 * 60 + $2 + $3 * 60 + $4) * 1000 / 5 }'
done

# Every function of a large program, beside uftrace on what it can read: programs with symbols.
milliseconds() # COMMAND...: of processors, with children, the least of three runs
{
	for run in 1 2 3; do milliseconds_once "$@"; done | sort -n | head -n 1
}

milliseconds_once()
{
	python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
r = resource.getrusage(resource.RUSAGE_CHILDREN)
print(round(1000 * (r.ru_utime + r.ru_stime)))' "$@"
}

arming() # label, file, command that ends at once, command with work
{
	all="global n probe process(\"$2\").function(\"*\") { n++ } probe end { println(n) }"
	idle_alone=$(milliseconds $3) work_alone=$(milliseconds $4)
	idle=$(milliseconds "$utrace" run -o "$dir/idle" -e "$all" -c "$3")
	work=$(milliseconds "$utrace" run -o "$dir/work" -e "$all" -c "$4")
	awk -v l="$1" -v a=$((idle - idle_alone)) -v w=$((work - work_alone)) -v h="$(tail -n 1 "$dir/work")" \
		'BEGIN { printf "%-44s %7d ms, then %5.1f ns a hit, %d hits\n", l, a, h ? (w - a) * 1e6 / h : 0, h }'
}

printf '\nall functions of a program, processor time\n'
. "$here/../torture/workloads/source.sh"
cc1=$(readlink -f "$(gcc -print-prog-name=cc1 2>/dev/null)")
if [ -x "$cc1" ]; then
	make_source >"$dir/source.i"
	arming "utrace: cc1" "$cc1" "$cc1 -version" "$cc1 -quiet -O2 -fpreprocessed $dir/source.i -o /dev/null"
fi
words="/usr/bin/python3 -S -c"
printf 'sum(len(str(i)) for i in range(3000000))\n' >"$dir/work.py"
arming "utrace: python3" "$(readlink -f /usr/bin/python3)" "$words pass" "/usr/bin/python3 -S $dir/work.py"
if command -v uftrace >/dev/null 2>&1; then
	record="uftrace record -P . --no-libcall -d $dir/uftrace-all"
	a=$(($(milliseconds $record $words pass) - $(milliseconds $words pass)))
	w=$(($(milliseconds $record /usr/bin/python3 -S "$dir/work.py") - $(milliseconds /usr/bin/python3 -S "$dir/work.py")))
	printf '%-44s %7d ms, then %d ms for the same work\n' "uftrace -P .: python3, entries and exits" $a $((w - a))
fi

# How long threads stand still while a tracer attaches.
pause() # label, threads, command: the pid goes behind it
{
	label=$1 threads=$2
	shift 2
	"$dir/pause" "$threads" >"$dir/out" &
	target=$!
	sleep 0.5
	kill -USR1 $target
	"$@" $target >/dev/null 2>"$dir/err"
	kill -TERM $target
	wait $target
	printf '%-44s %10s   %s\n' "$label" "$(head -n 1 "$dir/out")" "$(sed -n 's/^/the other: /; 2p' "$dir/out")"
}

printf '\nlongest pause of a running thread by an attach, microseconds\n'
if ${CC:-cc} -O2 -o "$dir/pause" "$here/pause.c" -lpthread 2>"$dir/err"; then
	script='global n probe process.function("tick") { if (++n > 100000) exit() }'
	pause "alone" 2 sh -c "sleep 1"
	pause "utrace: one thread" 1 "$utrace" run -e "$script" -x
	pause "utrace: two threads" 2 "$utrace" run -e "$script" -x
	! command -v gdb >/dev/null 2>&1 || pause "gdb -batch: two threads" 2 gdb -batch -nx -p
fi

# The engine library, beside ptrace(2) by hand.
if ${CC:-cc} -D_GNU_SOURCE -O2 -I"$here/../../include" -o "$dir/engine" "$here/engine.c" -L"$build/src" \
	-Wl,-rpath,"$(cd "$build/src" && pwd)" -lutrace -pthread 2>"$dir/err"; then
	printf '\nengines, on one CPU\n'
	"$dir/engine"
else
	sed -n 1p "$dir/err"
fi
