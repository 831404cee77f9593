#!/bin/sh
# perf.* probes on a program that counts its page faults for itself.   usage: test-perf.sh UTRACE TRACEES
utrace=$1
tracees=$(realpath "$2")
here=$(dirname "$0")
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
program=$tracees/faulting

run() # SCRIPT COMMAND [OPTION...]: what the script prints, with errors
{
	script=$1 command=$2
	shift 2
	"$utrace" run "$@" -e "$script" -c "$command" 2>&1 | grep -v '^touched '
}

like "$("$utrace" run --dump-probe-types)" '^perf\.type\(number\)\.config\(number\)\.process\(string\)\.counter\(string\)$' \
	"--dump-probe-types"
like "$("$utrace" run --dump-probe-aliases)" '^perf\.hw_cache\.l1d\.write\.miss = perf\.type\(3\)\.config\(65792\)$' \
	"--dump-probe-aliases"
if why=$(run 'probe perf.sw.page_faults { exit() }' "$program 1") && [ -n "$why" ]; then
	like "$why" 'may not open perf events' "who may not open perf events is told so"
	tap_done
	exit
fi

# ---- samples
faults="probe perf.sw.page_faults.sample(1)"
tell='{ if (usymname(uaddr()) == "touch") n++ } global n probe end { println("n=", n) }'
is "$(run "$faults $tell" "$program 1000")" "n=1000" "each fault is a sample, at its instruction"
is "$(run "$faults $tell" "$program 1000" --mode=ptrace)" "n=1000" "... in ptrace mode"
is "$(run "$faults $tell" "$program 300 threads")" "n=1200" "... of threads"
is "$(run "$faults $tell" "$program 300 fork")" "n=600" "... of children"
# a sample may be looked at when the program has gone already: it is known where, but not what was there
all='{ n++ } global n probe end { printf("%d\n", n >= 600 && n < 1800) }'
is "$(run "$faults $all" "$program 300 exec")" "1" "... after an exec"
is "$(run "$faults.process(\"$program\") $all" "$program 300 exec")" "1" ".process"
is "$(run "$faults.process(\"$program\") $all" "sh -c '$program 400; $program 200'")" "1" \
	".process of programs that are started"
is "$(run "$faults.process(\"$tracees/counter\") $tell" "$program 300")" "n=0" ".process of another program"
is "$(run "probe perf.sw.page_faults.sample(100) $tell" "$program 1000" | sed 's/n=10$/n=9/')" "n=9" ".sample(100)"
is "$(run "$faults { n++; exit() } global n probe end { println(\"n=\", n) }" "$program 1000")" "n=1" "exit() ends it"
like "$(run 'global s probe perf.sw.task_clock.hz(100) { s[usymname(uaddr())] <<< 1 }
	probe end { foreach (f in s- limit 1) println("most in ", f) }' "$program 1 burn")" '^most in burn$' ".hz"
is "$(run "$faults { if (usymname(uaddr()) != \"touch\") next
	printf(\"%s %s %s %d %d\n\", pn(), probe_type(), execname(), tid() == pid(), user_mode()); exit() }" "$program 5")" \
	"perf.sw.page_faults.sample(1) perf_event faulting 1 1" "pn(), probe_type() and whose it is"
is "$(run "$faults { if (usymname(uaddr()) == \"touch\") println(pp()) }" "$program 5" | sort -u)" \
	"perf.type(1).config(2).sample(1)" "pp()"

# ---- stacks: as they were at the fault, though the program runs on
stacks="$faults { if (usymname(uaddr()) != \"touch\") next
	s[sprint_usyms(ubacktrace())] <<< 1 } global s probe end { foreach (k in s) printf(\"%s\", k) }"
out=$(run "$stacks" "$program 500" | sed 's/.* : \([a-z_]*\)+.*/\1/' | sort | uniq -c | awk '$2 ~ /^(touch|middle|main)$/ {print $2}' | sort -u | tr '\n' ' ')
is "$out" "main middle touch " "stacks"
is "$(run "probe perf.sw.page_faults.sample(20) { if (usymname(uaddr()) != \"touch\") next
	if (usymname(ustack(1)) == \"middle\") n++; else m++ } global n, m probe end { println(n >= 19, m) }" "$program 400")" \
	"10" "each caller is the right one"

# ---- counters.  The handler may fault itself when it runs for the first time.
counter='probe perf.sw.page_faults.counter("faults") {}'
middle="probe process(\"$program\").function(\"middle\").return"
read='{ d = @perf("faults") - @entry(@perf("faults")); if (d >= 300 && d < 330) n++; else println(d) }
	global n probe end { println("n=", n) }'
is "$(run "$counter $middle $read" "$program 300")" "n=1" "@perf of a thread"
is "$(run "$counter $middle $read" "$program 300 threads")" "n=4" "... of each thread"
is "$(run "$counter $middle $read" "$program 300 fork")" "n=2" "... of each process"
is "$(run "$counter $middle $read" "$program 300 threads" --mode=ptrace)" "n=4" "... in ptrace mode"
like "$(run "probe perf.sw.page_faults.process(\"$tracees/counter\").counter(\"other\") {} $middle { println(@perf(\"other\")) }" \
	"$program 3")" 'ERROR: perf counter is not counted in this thread' "a counter of other processes"

# ---- what is not there
like "$(run 'probe perf.type(1).config(987654321) { exit() }' "$program 1")" \
	'semantic error: (this machine has no such perf event|cannot open the perf event: .*): ' "no such event"
is "$(run 'probe perf.type(1).config(987654321)?, begin { println("begun"); exit() }' "$program 1")" "begun" "... is optional"
like "$("$utrace" run -e 'probe perf.sw.cpu_clock { exit() }' 2>&1)" 'has no process to look at: name one with -c COMMAND or -x PID' \
	"a target is needed"
tap_done
