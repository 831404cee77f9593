#!/bin/sh
# Static marks (USDT): arguments, names, semaphores.   usage: test-marks.sh UTRACE TRACEES
utrace=$1
tracees=$(realpath "$2")
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
marks=$tracees/marks

if [ ! -x "$marks" ]; then
	skip "no sys/sdt.h when the tests were built: own marks"
else
	out=$("$utrace" run -e 'probe process.mark("hit") {
		printf("%d %d %d %d %d %d %s %d\n", $arg1, $arg2, $arg3, $arg4, $arg5, $arg6, user_string($arg7), $arg8) }' \
		-c "$marks 3" 2>&1)
	is "$(printf '%s\n' "$out" | grep text)" "0 0 0 -1 70000000000 -7 text -5
1 -1 255 2 70000000000 -7 text -5
2 -2 254 -3 70000000000 -7 text -5" "arguments: sizes, signs, constants, registers, memory"
	is "$(printf '%s\n' "$out" | grep rounds)" "rounds=3 armed=3 hit=1 cold=0" \
		"the semaphore of a probed mark is up, others are not"
	out=$("$utrace" run -e 'probe process.mark("real") { printf("%s %s\n", fp_to_string($arg1, 3), fp_to_string(fp32_to_fp64($arg2), 3)) }' \
		-c "$marks 3" 2>&1)
	is "$(printf '%s\n' "$out" | grep -v rounds | tr '\n' ' ')" "0.000 0.000 1.500 0.250 3.000 0.500 " "floating point in its own registers"
	out=$("$utrace" run -e 'probe process.mark("plain-name") { printf("%s %s [%s] %s\n", $$provider, $$name, $$vars, pp()); exit() }' \
		-c "$marks 3" 2>&1 | grep plain)
	is "$out" "marks plain__name [] process(\"$marks\").mark(\"plain__name\")" "- stands for __; \$\$name, \$\$provider"
	out=$("$utrace" run -e 'probe process.provider("ma*").mark("h*") { println($$parms); exit() }' -c "$marks 1" 2>&1 | grep arg)
	like "$out" '^\$arg1=0x0 \$arg2=0x0 .*\$arg6=0xfffffffffffffff9 ' "\$\$parms; wildcards for provider and name"
	is "$("$utrace" list -L "process(\"$marks\").provider(\"marks\").mark(\"hit\")")" \
		"process(\"$marks\").provider(\"marks\").mark(\"hit\") \$arg1:long \$arg2:long \$arg3:long \$arg4:long \$arg5:long \$arg6:long \$arg7:long \$arg8:long" \
		"list -L"
	like "$("$utrace" list "process(\"$marks\").mark(\"hot\")" 2>&1)" "no match \(similar marks: hit, cold" "a mark that is not there"
	like "$("$utrace" run -e 'probe process.mark("hit") { println($arg9) }' -c "$marks 1" 2>&1)" \
		"invalid sdt mark argument number: 'hit' has 8 arguments" "an argument that is not there"
	out=$("$utrace" run -e 'probe process.mark("hit") { println($i, $$locals); exit() }' -c "$marks 1" 2>&1 | grep -v rounds)
	is "$out" "0" "variables of the function around a mark"

	# Attached: up while probed, down afterwards, whatever becomes of the tracer.
	for how in INT KILL; do
		rm -f "$dir/hits"
		"$marks" 100000 200 >"$dir/out" &
		pid=$!
		"$utrace" run -e 'probe process.mark("hit") { println("hit") }' -x $pid >"$dir/hits" 2>&1 &
		tracer=$!
		wait_for 30 grep -q hit "$dir/hits"
		ok $? "attached, then SIG$how: the mark is hit"
		kill -$how $tracer
		wait $tracer 2>/dev/null
		address=$(nm "$marks" | sed -n 's/ [bBdD] marks_hit_semaphore$//p')
		state()
		{
			python3 - "$pid" "$address" "$marks" <<-'END'
			import sys
			pid, address, path = sys.argv[1], int(sys.argv[2], 16), sys.argv[3]
			import os
			path = os.path.realpath(path)
			base = min(int(l.split("-")[0], 16) for l in open(f"/proc/{pid}/maps") if l.rstrip().endswith(path))
			kind = open(path, "rb").read(18)[16]
			with open(f"/proc/{pid}/mem", "rb") as memory:
			    memory.seek(address + (base if kind == 3 else 0))
			    sys.exit(0 if memory.read(2) == b"\0\0" else 1)
			END
		}
		wait_for 30 state
		ok $? "... SIG$how: the semaphore is down again"
		wait_for 30 sh -c "! grep -q utrace /proc/$pid/maps"
		ok $? "... SIG$how: nothing is left in the process"
		kill $pid
		wait $pid 2>/dev/null
	done

	# A child forked while traced: its semaphore and its text, too.
	"$marks" 1000000 200 2000 >"$dir/out" &
	pid=$!
	"$utrace" run -e 'probe process.mark("hit") { printf("hit %d\n", pid()) }' -x $pid >"$dir/hits" 2>"$dir/err" &
	tracer=$!
	two() { [ "$(sort -u "$dir/hits" | grep -c hit)" = 2 ]; }
	wait_for 30 two
	ok $? "parent and child are hit"
	kill -INT $tracer
	wait $tracer
	is "$(cat "$dir/err")" "" "... the end of the run complains about neither"
	parent=$pid
	for pid in $parent $(sort -u "$dir/hits" | sed -n 's/hit //p' | grep -vx $parent); do
		state
		ok $? "... semaphore down"
		is "$(text_state $pid "$marks")" "same" "... text restored"
		kill $pid
	done
	wait $parent 2>/dev/null

	# A fork child inherits a raised semaphore, and loses it when the run ends.
	is "$("$utrace" run -e 'global n probe process("'"$marks"'").mark("hit") { n++ } probe end { printf("n=%d\n", n) }' \
		-c "sh -c '$marks 2; $marks 3'" 2>&1 | grep n=)" "n=5" "marks of programs that a shell starts"
fi

# Other people's programs.
python=/usr/bin/python3 # the distribution's
if readelf -n "$python" 2>/dev/null | grep -q stapsdt; then
	out=$("$utrace" run -e 'global n probe process.mark("import__find__load__start") { n[user_string($arg1)]++ }
		probe process.mark("function__return") { f++ } global f
		probe end { printf("json=%d functions=%d\n", n["json"], f > 100) }' -c "$python -c 'import json; print(1)'" 2>&1)
	is "$(printf '%s\n' "$out" | grep json)" "json=1 functions=1" "python3: imports and functions, behind semaphores"
	like "$("$utrace" run "$(dirname "$0")/../../examples/python-imports.stp" -c "$python -c 'import json'" 2>&1)" \
		"^ +[0-9]+ us json$" "examples/python-imports.stp"
else
	skip "this python3 has no marks"
fi
if [ -x "$tracees/throwing" ] && readelf -n "$(ldd "$tracees/throwing" | sed -n 's/.*=> \(.*libstdc[^ ]*\).*/\1/p')" 2>/dev/null |
	grep -q stapsdt; then
	out=$("$utrace" run -e 'global n probe process.library("libstdc++*").mark("*") { n[$$name]++ }
		probe end { printf("throw=%d catch=%d\n", n["throw"], n["catch"]) }' -c "$tracees/throwing 300" 2>&1)
	is "$(printf '%s\n' "$out" | grep throw=)" "throw=100 catch=100" "libstdc++: exceptions"
else
	skip "no libstdc++ with marks here"
fi
tap_done
