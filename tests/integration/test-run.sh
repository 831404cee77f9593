#!/bin/sh
# The main job: scripts inside launched programs.   usage: test-run.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Counts are exact with eight threads.
out=$("$utrace" run -e "global n, l probe process.function(\"branchy\") { n++ }
	probe process.function(\"leaf\").return { l++ }
	probe end { printf(\"n=%d l=%d\\n\", n, l) }" -c "$tracees/counter 8 50000" 2>"$dir/err")
is "$(cat "$dir/err")" "" "counting: nothing on standard error"
n=$(printf '%s\n' "$out" | sed -n 's/^branchy=\([0-9]*\) leaf=\([0-9]*\) .*/n=\1 l=\2/p')
is "$(printf '%s\n' "$out" | grep ^n=)" "$n" "counts equal the program's own, 8 threads"
plain=$("$tracees/counter" 8 50000)
is "$(printf '%s\n' "$out" | grep ^branchy)" "$plain" "the program computes the same under trace"

# Map updates under the global's lock lose nothing either.
out=$("$utrace" run -e 'global n probe process.function("branchy") { n[tid()]++ }
	probe end { foreach (t in n) s += n[t]; printf("n=%d\n", s) }' -c "$tracees/counter 8 20000" 2>"$dir/err")
is "$(printf '%s\n' "$out" | grep ^n=)" "n=160000" "a map shared by 8 threads is exact"
is "$(cat "$dir/err")" "" "no hit was skipped"

# Neither do arrays that handlers only add to, while a timer reads and deletes them.
out=$("$utrace" run -e 'global n, s, t, u probe process.function("branchy") { n[$n & 63]++; s[$n & 7] <<< 2 }
	probe timer.ms(1) { foreach (k in n) t += n[k]; delete n; foreach (k in s) u += @sum(s[k]); delete s }
	probe end { foreach (k in n) t += n[k]; foreach (k in s) u += @sum(s[k]); printf("n=%d s=%d\n", t, u) }' \
	-c "$tracees/counter 8 50000" 2>"$dir/err")
is "$(printf '%s\n' "$out" | grep ^n=)" "n=400000 s=800000" "what is counted while others delete is exact"
is "$(cat "$dir/err")" "" "... and no hit was skipped"

# The time is the kernel's: never before what the program was told just now, never back in a thread, and at best
# no more than a moment later.
out=$("$utrace" run -e 'global mono, wall, last, back
	probe process.function("tick") {
		m = local_clock_ns(); w = gettimeofday_ns()
		if (m < last[tid()]) back++
		last[tid()] = m
		mono <<< m - $mono; wall <<< w - $wall
	}
	probe end { printf("%d back, %d hits, early %d %d, late %d %d\n", back, @count(mono), @min(mono) < -1000000,
		@min(wall) < -1000000, @min(mono) > 1000000, @min(wall) > 1000000) }' -c "$tracees/clock 3 100000" 2>"$dir/err")
is "$out" "0 back, 300000 hits, early 0 0, late 0 0" "clocks agree with the program's"

# Entry and return pair up through recursion.
out=$("$utrace" run -e 'global d, r probe process.function("recurse") { d++ }
	probe process.function("recurse").return { r++; if (@entry($n) > 3) bad++ }
	probe end { printf("%d %d\n", d, r) }' -c "$tracees/counter 1 1000" 2>"$dir/err" | grep -v branchy)
is "$out" "2500 2500" "every entry of a recursive function has its return"

# Arguments and return values through DWARF.
out=$("$utrace" run -e 'probe process.function("leaf") { printf("%d,%d %s\n", $a, $b, $$parms); exit() }' \
	-c "$tracees/counter 1 10" 2>"$dir/err" | grep ,)
is "$out" "0,0 a=0x0 b=0x0" "\$parameters of optimised code"
out=$("$utrace" run -e 'global i probe process.function("branchy").return { if (i++ < 4) printf("%d=%d ", @entry($n), $return) }' \
	-c "$tracees/counter 1 4" 2>"$dir/err" | tr '\n' ' ')
like "$out" "0=0 1=.* 2=-2 3=" "\$return and @entry(\$parameter)"

# C++ exceptions through probed frames.
plain=$("$tracees/throwing" 3000)
out=$("$utrace" run -e 'global e, r probe process.function("middle") { e++ } probe process.function("middle").return { r++ }
	probe process.function("thrower").return { t++ } probe end { printf("e=%d r=%d\n", e, r) }' \
	-c "$tracees/throwing 3000" 2>"$dir/err")
is "$(printf '%s\n' "$out" | grep caught)" "$plain" "exceptions pass probed frames"
is "$(printf '%s\n' "$out" | grep e=)" "e=3000 r=2000" "frames left by exceptions have no return"

# Children by fork and exec are followed.
out=$("$utrace" run -e 'global n probe process.function("step") { n++ } probe end { printf("n=%d\n", n) }' \
	-c "$tracees/forker" 2>"$dir/err")
is "$(printf '%s\n' "$out" | grep n=)" "n=1531" "forks, vfork and execs are followed"

# A library that comes and goes is probed before its constructor runs, each time.
plugin=$tracees/libplugin.so
plain=$("$tracees/loader" "$plugin" 40 | tr -d a-z=)
out=$("$utrace" run -e "global n, r probe process(\"$plugin\").function(\"plugin_work\") { n++ }
	probe process(\"$plugin\").function(\"plugin_work\").return { r++ } probe end { printf(\"n=%d r=%d\\n\", n, r) }" \
	-c "$tracees/loader $plugin 40" 2>"$dir/err")
is "$(printf '%s\n' "$out" | grep n=)" "n=$plain r=$plain" "dlopen, dlmopen and dlclose are followed"
is "$(cat "$dir/err")" "" "... without a word"

# Others' programs: bash, stripped; a static musl program; a script error; exit codes.
out=$("$utrace" run -e 'probe process("/usr/bin/bash").function("execute_command") { printf("%s %d\n", ppfunc(), tid()) }' \
	-c 'bash -c "ls / >/dev/null; pwd >/dev/null"' 2>"$dir/err")
like "$out" "^execute_command [0-9]+$" "bash: execute_command"
if [ -x "$tracees/counter-musl" ]; then
	out=$("$utrace" run -e 'global n probe process.function("branchy") { n++ } probe end { printf("n=%d\n", n) }' \
		-c "$tracees/counter-musl 4 1000" 2>"$dir/err")
	is "$(printf '%s\n' "$out" | grep n=)" "n=4000" "a static musl program"
else
	skip "no musl-gcc here: static musl program"
fi
"$utrace" run -e 'probe process.function("leaf") { println(1 / (pid() - pid())) }' -c "$tracees/counter 1 100" \
	>"$dir/out" 2>"$dir/err"
is "$?" "1" "an uncaught script error: exit status 1"
like "$(cat "$dir/err")" "^ERROR: division by 0 near " "... is told with its place"
like "$(cat "$dir/out")" "^branchy=100 " "... and the program goes on"
out=$("$utrace" run -e 'probe process.function("leaf") { try { println(user_string(8)) } catch (e) { println(e); exit() } }' \
	-c "$tracees/counter 1 100" 2>"$dir/err" | grep fault)
is "$out" "user string copy fault -14 at 0x8 [man error::fault]" "a bad pointer is a script error"
"$utrace" run -e 'probe process.function("leaf") { exit() }' -c "sh -c 'exit 3'" >/dev/null 2>"$dir/err"
like "$(cat "$dir/err")" "no match|error" "a function that is not there is told"

for when in begin end; do
	"$utrace" run -e "probe process.$when { exit() }" -c "sh -c 'exit 3'" >/dev/null 2>"$dir/err"
	is "$? $(grep -c '^WARNING: Child process exited with status 3$' "$dir/err")" "1 1" \
		"a command that fails behind exit() in process.$when"
done

# Output to a file, a closed pipe, a full disk.
"$utrace" run -o "$dir/o" -e 'probe process.function("branchy") { println("hit") }' -c "$tracees/counter 1 50" \
	>"$dir/out" 2>"$dir/err"
is "$(grep -c hit "$dir/o")" "50" "-o FILE"
"$utrace" run -e 'probe process.function("branchy") { println("hit") }' -c "$tracees/counter 2 200000" \
	2>"$dir/err" | head -n 1 >"$dir/out"
is "$(cat "$dir/out")" "hit" "a closed pipe ends the run"
"$utrace" run -o /dev/full -e 'probe process.function("branchy") { println("hit") }' -c "$tracees/counter 1 5000" \
	>"$dir/out" 2>"$dir/err"
is "$?" "1" "a full disk: exit status 1"
like "$(cat "$dir/err")" "cannot write output: No space left" "a full disk is told"
# What is ignored or blocked is inherited: nothing that utrace needs for itself.
signals="grep -e ^SigBlk -e ^SigIgn /proc/self/status"
plain=$($signals)
is "$("$utrace" run -e 'probe begin { println("here") }' -c "$signals" | grep ^Sig)" "$plain" "a program has the signals that it has alone"
is "$("$utrace" run -e 'probe begin { system("yes | head -n 1") exit() }' 2>&1)" "y" "... a command, too"
tap_done
