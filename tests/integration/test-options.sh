#!/bin/sh
# Options of stap that change how a run goes.   usage: test-options.sh UTRACE TRACEES
utrace=$(realpath "$1")
tracees=$(realpath "$2")
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
run=
trap 'kill $run 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# -S: numbered files, the newest kept, nothing lost between them.
"$utrace" run -S 1,2 -o rotated -e 'global n probe timer.us(200) {
	for (i = 0; i < 200; i++) printf("%07d %0500d\n", n++, 0)
	if (n >= 8000) exit() }' >out 2>err
is "$?$(cat out err)" "0" "-S: a run without a word"
is "$(ls rotated* | wc -l)" "2" "-S 1,2: two files are kept"
is "$(ls rotated.0 2>&1 | grep -c 'cannot')" "1" "... the oldest are gone"
first=$(cat $(ls rotated.* | sort -t. -k2n) | head -n 1 | cut -d' ' -f1)
is "$(cat $(ls rotated.* | sort -t. -k2n) | cut -d' ' -f1)" "$(seq -f %07g "$first" 7999)" "... and what is left has no gap"
like "$(stat -c %s rotated.* | sort -n | tail -n 1)" '^10[0-9]{5}$' "... files of one megabyte"

# Listings need no target; limits are numbers.
is "$("$utrace" run -L syscall.read 2>&1)" \
	"syscall.read name:string fd:long buf_uaddr:long count:long argstr:string" "-L: an alias over process.syscall"
is "$("$utrace" run -L process.syscall.return 2>&1)" 'process.syscall.return $syscall:long $return:long' "... and the point itself"
is "$("$utrace" run -l 'timer.*' 2>&1)" "timer.profile" "-l: timers"
is "$("$utrace" run -l 'nothing.like.this' 2>&1; echo $?)" "1" "-l: silent when nothing matches"
is "$("$utrace" run -v -l 'nothing.like.this' 2>&1; echo $?)" "1" "... with -v, too"
like "$("$utrace" run -vv -l 'nothing.like.this' 2>&1)" '^semantic error: probe point mismatch' "... but not with -vv"
is "$("$utrace" run -l 'process(@1).function(@2)' "$tracees/counter" main 2>&1 | sed 's/@.*//')" \
	"process(\"$tracees/counter\").function(\"main" "-l: with arguments"
runtime='%( runtime == "kernel" %? probe begin { println("kernel") exit() } %: probe begin { println("other") exit() } %)'
is "$("$utrace" run --runtime=kernel -e "$runtime" 2>&1) $("$utrace" run --runtime=dyninst -e "$runtime" 2>&1)" "kernel other" \
	"--runtime: what conditionals see"
like "$("$utrace" run --privilege=stapusr -e 'probe timer.profile { exit() }' 2>&1)" \
	'^semantic error: probe point is not allowed for --privilege=stapusr' "--privilege: a point that is refused"
like "$("$utrace" run --unprivileged -e 'probe begin { raise(1) }' 2>&1)" \
	'^semantic error: function may not be used when --privilege=stapusr is specified: identifier .raise. at' "... and a function"
like "$("$utrace" run -l 'timer s' 2>&1)" '^parse error: expected one of' "-l: ... but not about what is no probe point"
is "$("$utrace" run -DMAXACTION=1x -e 'probe begin { exit() }' 2>&1; echo $?)" \
	"$(printf -- "-D MAXACTION: '1x' is not a number\n1")" "-D: a limit that is no number"
is "$("$utrace" run -p1 -e 'probe begin { exit() }' | head -n 2)" "$(printf '# parse tree dump\n# file <input>')" "-p1: names the file"

# What only the translation to code refuses.
is "$("$utrace" run -p2 -e "probe begin { println($(seq -s, 33)) }" >/dev/null 2>&1; echo $?)" "0" "33 printed values: at -p2"
like "$("$utrace" run -p3 -e "probe begin { println($(seq -s, 33)) }" 2>&1)" '^semantic error: too many arguments to print .33.: identifier .println. at <input>:1:15' "... and at -p3"
is "$("$utrace" run -p2 -e 'probe begin { if (pid()) break exit() }' >/dev/null 2>&1; echo $?)" "0" "a break outside loops: at -p2"
is "$("$utrace" run -e "probe begin { println($(seq -s, 32)) exit() }" | wc -c)" "56" "32 are printed"
like "$("$utrace" run -v -e 'global x probe begin { x++; exit() }' 2>&1)" '^Pass 2: analyzed script: 1 probe, 0 functions, 0 embeds, 1 global using ' \
	"-v: what there is, counted in English"

like "$("$utrace" run -v -e 'probe begin { nosuch() }' 2>&1)" '^Pass 2: analyzed script: 0 probes,' "... also of a pass that fails"
like "$("$utrace" run -v -e 'probe begin {' 2>&1)" '^Pass 1: parsed user script and [0-9]+ library scripts using ' "... and of the first"

# -G sets what is there, and fits.
set_global() # NAME=VALUE SCRIPT
{
	"$utrace" run -G "$1" -e "$2" 2>&1
}
is "$(set_global x=0x10 'global x probe begin { println(x + 1) exit() }')" "17" "-G: a number"
like "$(set_global x=99999999999999999999 'global x probe begin { println(x + 1) exit() }')" \
	"^ERROR: Invalid parameters: cannot set global x to '99999999999999999999': it does not fit 64 bits$" "-G: a number that is too large"
like "$(set_global x=abc 'global x probe begin { println(x + 1) exit() }')" ": it holds numbers$" "-G: a word for a number"
like "$(set_global x=1 'global x probe begin { x <<< 1; println(@count(x)) exit() }')" ": only scalars have initial values$" "-G: a statistic"
is "$(set_global y=1 'global x = 1 probe begin { println(x) exit() }')" "$(printf 'WARNING: -G y: no such global is used\n1')" "-G: a name that is not there"

# Files that are no scripts.
printf 'probe\0 begin { exit() }\n' >nul
is "$("$utrace" run nul 2>&1 | sed -n 3p)" "     source: probe? begin { exit() }" "a byte 0: the line is shown"
is "$("$utrace" run /dev/zero 2>&1)" "$(printf 'error: cannot read /dev/zero: more than 64 megabytes\nPass 1: parse failed.  [man error::pass1]')" \
	"a file without end"

# Closed standard streams: nothing of ours may come there.
hello='probe begin { println("hello") exit() }'
"$utrace" run -e "$hello" <&- >&- 2>&-
is "$?" "1" "closed standard streams: what is printed cannot be written"
is "$("$utrace" run -e "$hello" -c 'readlink /proc/self/fd/0 /proc/self/fd/2' <&- 2>&-)" "hello" "... and a command gets no others"

# A file of the library is no script.
mkdir library
echo 'function twice(x) { return 2 * x }' >library/twice.stp
is "$("$utrace" run -I library -e 'probe begin { println(twice(4)) exit() }')" "8" "-I: a function of a file there"
is "$("$utrace" run -I library library/twice.stp 2>&1; echo $?)" \
	"$(printf "usage error: tapset file 'library/twice.stp' cannot be run directly as a session script.\nPass 1: parse failed.  [man error::pass1]\n1")" \
	"... which cannot be run"

# More folders of the library.
mkdir -p data/systemtap/tapset "library/PATH$(realpath "$tracees")"
echo 'function thrice(x) { return 3 * x }' >data/systemtap/tapset/thrice.stp
is "$(XDG_DATA_DIRS=$dir/none:$dir/data "$utrace" run -e 'probe begin { println(thrice(4)) exit() }' 2>&1)" "12" "XDG_DATA_DIRS: a function of a file there"
echo 'probe counter.leaf = process("counter").function("leaf") { }' >"library/PATH$(realpath "$tracees")/counter.stp"
like "$("$utrace" run -I library -e 'global n probe counter.leaf { n++ } probe end { println("n=", n) }' -c "$tracees/counter 1 20" 2>&1)" \
	'^n=15$' "-I: paths of programs are those below PATH/"

# The time in the name; SIGUSR2 opens it anew.
"$utrace" run -o 'out-%Y' -e 'probe timer.ms(10) { println("line") }' &
run=$!
name=out-$(date +%Y)
wait_for 20 grep -q line "$name"
ok $? "-o: conversions of strftime"
mv "$name" moved
kill -USR2 $run
wait_for 20 grep -q line "$name"
ok $? "SIGUSR2: the file is opened again"
kill -INT $run
wait $run
is "$?" "0" "... and the run ends in order"
run=

# -F: a run of its own.
pid=$("$utrace" run -F -o recorded -e 'probe process("'"$tracees"'/sleeper").function("tick") { println("tick ", pid()) }
	probe begin { println("begin") } probe end { println("end") }' 2>err)
like "$pid" '^[0-9]+$' "-F: the number of the process"
is "$(cat recorded err)" "$(printf 'begin\nWARNING: no running process has a probed file mapped; those that start later are probed as soon as they are seen, -c CMD probes one from its first instruction')" \
	"... which has begun; warnings until then"
kill -INT "$pid"
wait_for 20 grep -q end recorded
ok $? "... and ends when it is told to"
is "$("$utrace" run -F -e 'probe begin { exit() }' 2>&1 | head -n 1)" "-F needs -o FILE: nobody would see the output." \
	"-F without -o"

# -t: every hit is counted, of handlers that are inlined otherwise, too.
out=$("$utrace" run -t -e 'global n probe process.function("leaf") { n++ } probe never { n++ }' -c "$tracees/counter 1 200000" 2>&1)
like "$out" 'function\("leaf@[^"]*"\), \(<input>:1:[0-9]+\), hits: 150000, cycles: [0-9]+min/[0-9]+avg/[0-9]+max, variance: [1-9][0-9]*, from: process.function\("leaf"\), index: 0$' \
	"-t: hits, cycles and how much they vary"
like "$out" '^----- refresh report:$' "... in SystemTap's form"

# --monitor: on a terminal only.
like "$("$utrace" run --monitor -e 'probe begin { exit() }' 2>&1)" '^error: --monitor needs a terminal' "--monitor without a terminal"
if command -v script >/dev/null; then
	out=$(script -qec "$utrace run --monitor -e 'global n, a probe process.function(\"leaf\") { n++; a[tid()] = 1 }
		probe timer.ms(5) { println(\"a line\") } probe end { println(\"the end\", n) println(a[0]) }' -c '$tracees/counter 1 20000'" /dev/null)
	like "$out" 'globals' "--monitor: the globals"
	like "$out" '0mn=[0-9]+' "... their values"
	like "$out" '^[^A-Za-z]*a\[\]: [0-9]+ entries' "... sizes of arrays"
	like "$out" '^[^A-Za-z]*a\[[0-9]+\]=1' "... and what is in them"
	like "$out" 'the end15000' "... and what comes at the end"
	# all at once: they may well be there before it reads
	out=$(printf sssppq | timeout 60 script -qec "$utrace run --monitor -e 'global n probe timer.ms(5) { n++ } probe timer.ms(7) { n++ }'" /dev/null)
	like "$out" 'probes as in the script' "--monitor: probes in the order of the script"
	like "$out" 'probes by hits' "... by hits after a key"
	like "$out" 'probes by maximum' "... and by another number after two more"
	like "$out" '\(held\)' "... held"
	like "$out" 'probes as in the script|n=' "... until q ends the run"
else
	skip "--monitor: no script(1)"
fi

# What cannot be done is said with its reason.
says() { like "$("$utrace" run "$@" 2>&1)" "$wanted" "$*"; }
wanted='^semantic error: no match: /nonexistent: No such file or directory$'
says -e 'probe process("/nonexistent").function("x") { exit() }'
wanted="^semantic error: cannot find executable 'nonexistent-program'$"
says -e 'probe process("nonexistent-program").function("x") { exit() }'
wanted='^semantic error: no match: /tmp: Is a directory$'
says -e 'probe process("/tmp").function("x") { exit() }'
wanted='^WARNING: no match: /tmp: Is a directory$'
says -e 'probe process("/tmp").begin { exit() }' -c true
wanted='^semantic error: no match: cannot run the command of -c, /nonexistent-cmd: No such file or directory$'
says -e 'probe process.function("main") { exit() }' -c /nonexistent-cmd
wanted='^error: cannot run nonexistent-cmd: No such file or directory$'
says -e 'probe process.begin { exit() }' -c nonexistent-cmd
wanted='^error: no such process: 4194305$'
says -e 'probe process.begin { exit() }' -x 4194305
wanted='is not an ELF file$'
says -e 'probe process("/etc/passwd").function("x") { exit() }'
wanted='^-S needs -o FILE\.$'
says -S 1 -e 'probe begin { exit() }'

# Colors up to the first mistake in what names them; what is not named has none.
color_of() { SYSTEMTAP_COLORS=$1 "$utrace" run --color -e junk 2>&1 | sed -n 's/^\x1b\[\([0-9;]*\)m\x1b\[Kparse error:.*/\1/p'; }
is "$(color_of error=32:a:)" 32 "SYSTEMTAP_COLORS: before a mistake"
is "$(color_of a:error=32)" "" "... behind it"
is "$(color_of 'other=1;2:error=41:error=42')" 41 "... unknown names, and one named twice"
is "$(color_of '')" "" "... empty"

# What stap says of its own options.
wanted='^Privilege level may be set only once\.$'
says --privilege=stapusr --privilege=stapdev -e 'probe begin { exit() }'
wanted='^Module name cannot be empty\.$'
says -m .ko -e 'probe begin { exit() }'
wanted="^ERROR: Safety pattern mismatch for -m parameter \('a-b' vs"
says -m a-b.so -e 'probe begin { exit() }'
is "$("$utrace" run -m name.ko -e 'probe begin { println(module_name()) exit() }' 2>&1)" \
	"$(printf "Truncating module name to 'name'\nname")" "-m: without its suffix"
wanted='^ERROR: multiple --sysroot options not supported$'
says --sysroot=/ --sysroot=/ -e 'probe begin { exit() }'
wanted='^ERROR: AB is an invalid argument for --sysenv$'
says --sysroot=/ --sysenv=AB -e 'probe begin { exit() }'
wanted='^An --rlimit-cpu option value must be specified\.$'
says --rlimit-cpu= -e 'probe begin { exit() }'
wanted="^Unable to convert resource limit 'x' for rlimit-cpu\$"
says --rlimit-cpu=x -e 'probe begin { exit() }'
wanted='^ERROR: -a arm64 is not available: code is made for this machine alone, '
says -a arm64 -e 'probe begin { exit() }'
is "$("$utrace" run -a "$(uname -m)" -e 'probe begin { println("ran") exit() }' 2>&1)" "ran" "-a: this machine"
for time in 0 0.0001 x 1s; do
	wanted='^Invalid timeout interval\.$'
	says -T $time -e 'probe begin { }'
done
is "$("$utrace" run -T 0.05 -e 'probe end { println("ended") }' 2>&1)" "ended" "-T: part of a second"
tap_done
