#!/bin/sh
# Stacks by call frame information.   usage: test-stacks.sh UTRACE TRACEES
utrace=$(realpath "$1")
stacks=$2/stacks
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Names of the program's own functions on the stack, the innermost first.
frames() # OPTION FUNCTION
{
	"$utrace" run $1 -e "probe process.function(\"$2\") { print_ubacktrace_brief(); exit() }" -c "$stacks" 2>&1 |
		sed -n 's/^\(compare\|sort_some\|handle\|interrupted\|main\)+.*/\1/p' | tr '\n' ' '
}

for how in '' --mode=ptrace; do
	is "$(frames "$how" compare)" "compare sort_some main " "through a library${how:+, $how}"
	is "$(frames "$how" handle)" "handle interrupted main " "through a signal frame${how:+, $how}"
done
list=$("$utrace" run -e 'probe process.function("compare") {
	printf("%d %d\n", ustack(0) == uaddr(), ustack(1) == caller_addr()) println(ucallers(2)) exit() }' -c "$stacks")
like "$list" "^1 1$" "single frames"
like "$list" "^0x[0-9a-f]+ 0x[0-9a-f]+ 0x[0-9a-f]+$" "... and a list of three"

# Without symbols there are addresses still: as many frames as before.
strip -o "$dir/stripped" "$stacks"
probe='probe process.library("libc.so.6").function("qsort_r") { println(ubacktrace()) exit() }'
whole=$("$utrace" run -e "$probe" -c "$stacks" 2>&1 | grep '^0x' | wc -w)
bare=$("$utrace" run -e "$probe" -c "$dir/stripped" 2>&1 | grep '^0x' | wc -w)
[ "$whole" -ge 4 ]
ok $? "from a library's function: $whole frames"
is "$bare" "$whole" "... a stripped program has as many"

# By the tables alone: the tracer is asked nothing, in a library that came later neither.
asked() # ARGUMENT...
{
	"$utrace" run -v "$@" 2>&1 | sed -n 's/^Pass 5: \(.*\) stacks were left to the tracer.*/\1/p'
}
is "$(asked -e 'probe process.function("compare") { print_ubacktrace() println(ubacktrace()) }' -c "$stacks")" 0 \
	"a process walks its own stacks"
is "$(asked -e 'probe process.function("handle") { print_ubacktrace() }' -c "$stacks")" 0 "signal frames too"
probe="probe process(\"$2/libplugin.so\").function(\"plugin_work\") { print_ubacktrace_brief() }"
is "$(asked -e "$probe" -c "$2/loader $2/libplugin.so 3")" 0 "and those of a library that is opened later"
# One round may be over, and the process gone, before the tracer has read where the library was.
out=$("$utrace" run -e "$probe" -c "$2/loader $2/libplugin.so 20" 2>&1)
like "$out" '^plugin_begin\+0x' "with its frames"
like "$out" '^(_dl_open|dlopen|_dl_catch_exception)[_a-z@A-Z0-9.]*\+0x' "and those of the loader that calls it"
is "$(asked --mode=ptrace -e 'probe process.function("handle") { print_ubacktrace() }' -c "$stacks")" 1 \
	"in ptrace mode the tracer does it"

# The same frames as libdwfl finds.
same() # FUNCTION EVERY COMMAND
{
	"$utrace" run "$(dirname "$0")/same-frames.stp" "$1" "$2" -c "$3" 2>&1 | tail -n 8
}
like "$(same xmalloc 97 "/bin/bash -c 'for i in 1 2 3 4 5; do x=\$(echo \$i); done; ls -l / | cat'")" \
	'^0 wrong, enough compared$' "of bash and its children"
if [ -x /usr/bin/python3 ]; then
	like "$(same _PyEval_EvalFrameDefault 197 "/usr/bin/python3 -c 'import json, re; print(json.dumps(dict(a=[1] * 50)))'")" \
		'^0 wrong, enough compared$' "of python3"
else
	skip "no python3"
fi
if command -v node >/dev/null 2>&1; then
	like "$(same '*AllocateRaw*' 997 "$(command -v node) -e 'console.log([1,2,3].map(String))'")" \
		'^0 wrong, enough compared$' "of node"
else
	skip "no node"
fi

# Stacks that lead nowhere end; the program does not notice.
out=$("$utrace" run -e 'probe process.function("leaf") { printf("<"); print_ubacktrace_brief(); printf(">") }' -c "$2/strange" 2>&1)
like "$out" '^>?10 7$' "misleading frame pointers disturb nothing"
is "$(printf '%s\n' "$out" | grep -c '^>*<leaf+0x0$')" 10 "each has its first frame"
is "$(printf '%s\n' "$out" | grep -c '^misled')" 9 "... and its caller"
like "$(printf '%s\n' "$out" | sed -n '/^handle/,$p' | tr '\n' ' ')" \
	'^handle[^ ]* __restore_rt[^ ]* .*raise[^ ]* elsewhere[^ ]* main' "from an alternate stack back to the first"

# Variables and stubs have names too.
out=$("$utrace" run -e 'probe process.function("handle") { println(usymname(&@var("strange_table") + 16)) exit() }' -c "$2/strange" 2>&1)
like "$out" '^strange_table$' "a variable"
out=$("$utrace" run -e 'probe process.plt("raise") { println(usymname(uaddr())) exit() }' -c "$2/strange" 2>&1)
like "$out" '^raise@plt$' "a stub"

# Go: compressed call frame information, or none and frame pointers.
for name in points-go points-go-stripped; do
	if [ -x "$2/$name" ]; then
		out=$("$utrace" run -v -e "probe process.function(\"main.deep\") { print_ubacktrace_brief() println(\"--\") }" \
			-c "$2/$name 5" 2>&1)
		is "$(printf '%s\n' "$out" | grep -c '^main.main.func1+0x')" 48 "$name: every stack reaches its goroutine's function"
		is "$(printf '%s\n' "$out" | grep -c '^main.deep+0x')" 168 "... through all levels"
		like "$out" '^Pass 5: 0 stacks' "... without the tracer"
	else
		skip "no $name" && skip "no $name" && skip "no $name"
	fi
done

# Generated code, named by the map that node writes for perf.
if command -v node >/dev/null 2>&1; then
	cat >"$dir/script.js" <<'JS'
function innermost(n) { return process.hrtime.bigint() + BigInt(n); }
function middle(n) { return innermost(n) + 1n; }
let sum = 0n;
for (let i = 0; i < 30000; i++) sum += middle(i);
console.log(sum > 0n);
JS
	# it writes a log of its own where it runs
	out=$(cd "$dir" && "$utrace" run -v -e 'global n probe process.function("uv_hrtime") { if (n++ % 1000 == 0) { print_ubacktrace_brief() println("--") } }' \
		-c "$(command -v node) --perf-basic-prof $dir/script.js" 2>&1)
	like "$out" '^JS:.* .*/script[.]js:' "generated code has its names"
	like "$out" '^true$' "... and computes what it should"
	grep -lF "$dir/script.js" /tmp/perf-*.map 2>/dev/null | xargs -r rm -f
else
	skip "no node" && skip "no node"
fi

# From registers that the script gives.
out=$("$utrace" run -e 'probe process.function("compare") {
	print_ubacktrace(u_register("rip"), u_register("rsp"), u_register("rbp")) exit() }' -c "$stacks" 2>&1)
like "$out" ': sort_some\+0x' "from given registers"
like "$out" ': main\+0x' "... to the end"

# What ends before it is printed, by exit or by exec, is told as what it was.
out=$("$utrace" run -e 'probe process("'"$2"'/forker").function("step") { print_ubacktrace_brief() }' -c "$2/forker" 2>&1)
hits=$("$utrace" run -e 'global n probe process("'"$2"'/forker").function("step") { n++ } probe end { println(n) }' -c "$2/forker" 2>&1 | tail -n 1)
[ "$hits" -gt 100 ]
ok $? "$hits hits"
is "$(printf '%s\n' "$out" | grep -c '^step+0x0$')" "$hits" "each has a stack"
is "$(printf '%s\n' "$out" | grep -c '^0x')" 0 "no address is without a name"
is "$(printf '%s\n' "$out" | grep -c '^step+0x0$')" "$(printf '%s\n' "$out" | grep -c '^work')" "every step has its caller"
tap_done
