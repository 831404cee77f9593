#!/bin/sh
# Every kind of probe point on programs that count for themselves.   usage: test-points.sh UTRACE TRACEES
utrace=$1
tracees=$(realpath "$2")
here=$(dirname "$0")
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkfifo "$dir/fifo"
exec 9<>"$dir/fifo"
source=$here/../tracees/points.c

line() # MARK: the line of points.c that has it
{
	grep -n "LINE $1 " "$source" | cut -d: -f1
}

run() # SCRIPT COMMAND: what the script prints, with errors
{
	"$utrace" run -e "$1" -c "$2" 2>&1 | grep -v '^rounds=\|^sum=\|^total='
}

count() # POINT COMMAND: how often it is hit
{
	run "global n probe process.$1 { n++ } probe end { printf(\"n=%d\\n\", n) }" "$2"
}

list() # POINT [PROGRAM]
{
	"$utrace" list "process(\"${2:-$tracees/points}\").$1" 2>&1
}

points="$tracees/points 20"
plain=$($points)
own() # NAME: the program's own count
{
	printf '%s\n' "$plain" | sed "s/.*$1=\([0-9]*\).*/\1/"
}

# ---- functions and inlined copies
is "$(count 'function("scale")' "$points")" "n=$(own inlined)" "a bare function means inlined copies too"
is "$(count 'function("scale").inline' "$points")" "n=$(own inlined)" ".inline"
like "$(count 'function("scale").call' "$points")" "no match \(scale is everywhere inlined\)" ".call leaves inlined copies out"
like "$(count 'function("leaf").inline' "$points")" "no match \(leaf is nowhere inlined\)" "... and .inline all else"
is "$(count 'function("main").exported' "$points")" "n=1" ".exported: what is not static"
like "$(count 'function("leaf").exported' "$points")" "no match \(leaf is not exported\)" "... and what is"
is "$(count 'function("leaf@points.c")' "$points")" "n=$(own leaves)" "FUNC@FILE"
like "$(count 'function("leaf@other.c")' "$points")" "no match" "FUNC@FILE: another file"
is "$(count 'function("le?f@*/points.c").call' "$points")" "n=$(own leaves)" "wildcards in FUNC and FILE"
out=$(run "probe process.function(\"leaf@points.c:1\") { println(ppfunc()); exit() }" "$points")
like "$out" "^WARNING: For probing a particular line, use a .statement\(\) probe, not .function\(\)" \
	"a line in .function is warned about"
like "$out" "^leaf$" "... and ignored"
address=$(nm "$tracees/points" | sed -n 's/^0*\([0-9a-f]*\) t leaf$/0x\1/p')
is "$(count "function($address)" "$points")" "n=$(own leaves)" "function(ADDRESS)"
out=$(run 'global v probe process.function("scale") { v[$value, $factor]++ }
	probe end { foreach ([a, b] in v+ limit 3) printf("%d*%d ", a, b); println("") }' "$tracees/points 1")
is "$out" "0*3 " "parameters of an inlined copy"
like "$(run 'probe process.function("scale").return { }' "$points")" \
	"cannot probe .return of 2 inlined functions scale" "inlined copies have no return: warned about"
out=$(run 'global n probe process.function("branch").return { n = @var("shared_counter") }
	probe end { printf("n=%d\n", n) }' "$points")
is "$out" "n=$(own shared)" "a global of the program at a return"

# ---- statements
is "$(count "statement(\"*@points.c:$(line odd)\")" "$points")" "n=10" "a line"
is "$(count "statement(\"branch@points.c:$(line even)\")" "$points")" "n=10" "a line of a function"
is "$(count "statement(\"branch@points.c+$(($(line odd) - $(line branch-open) + 1))\")" "$points")" "n=10" \
	"a line relative to the function"
out=$(run "probe process.statement(\"*@points.c:$(line odd)\") { printf(\"%d %d\\n\", \$n, \$odd - \$text[0]); exit() }" \
	"$points")
is "$out" "1 4" "variables of the block around a line"
like "$(list "statement(\"*@points.c:$(line product)\")")" "statement\(\"scale@.*points.c:$(line product)\"\)" \
	"a line of inlined code carries the inlined function's name"
like "$(list "statement(\"branch@points.c:$(line product)\")")" "statement\(\"branch@.*points.c:$(line product)\"\)" \
	"... or that of the function asked for"
is "$(list "statement(\"branch@points.c:$(line odd)-$(line even)\")" | grep -c "branch@.*:\($(line odd)\|$(line even)\)\"")" \
	"2" "a range of lines"
is "$(list "statement(\"branch@points.c:$(line odd),$(line even)\")" | grep -c branch@)" "2" "a list of lines"
test "$(list 'statement("branch@points.c:*")' | grep -c branch@)" -ge 4
ok $? "all lines of a function"
out=$(list "statement(\"branch@points.c:1000\")")
like "$out" "no line records for .*points.c:1000 \[man error::dwarf\] \(try :[0-9]+\)" "a line without code: what to try"
like "$(list 'statement("branch@points.c:1000").nearest')" "points.c:[0-9]+\"\).nearest" ".nearest"
like "$(list 'statement("branch@points.c:x")')" "malformed specification 'branch@points.c:x'" "a malformed line"
like "$(list 'statement("branch@:4")')" "malformed specification 'branch@:4'" "a line of no file"
like "$(list 'function("branch@")')" "malformed specification 'branch@'" "no file after @"
like "$(list 'function("@points.c")')" "malformed specification '@points.c'" "no function before @"
like "$(list 'function("")')" "malformed specification ''" "an empty function"
like "$("$utrace" run -p2 -e "probe process(\"$tracees/points\").function(\"*\").call { println(\$\$parms) }" 2>&1)" \
	'function\("_start"\)' "listing variables where assembly matches too"
like "$("$utrace" run -p2 -e "probe process(\"$tracees/points\").function(\"_start\") { println(\$x) }" 2>&1)" \
	"requires debuginfo: this part of .* has none" "a variable in assembly"
if cc -g -O1 -o "$dir/plus" -x c - <<-'END' 2>/dev/null; then
	#line 1 "dir/c++/plus.c"
	int main(void) { return 0; }
	END
	like "$(list 'function("*@c++/plus.c")' "$dir/plus")" 'function\("main@.*c\+\+/plus.c:1"\)' "a + in a file's name"
	like "$(list 'statement("main@c++/plus.c+0")' "$dir/plus")" 'statement\("main@.*c\+\+/plus.c:1"\)' "... and a relative line"
else
	skip "no compiler here: a + in a file's name"
fi
is "$(count "statement(\"*@points.c:$(line branch-open)\")" "$points")" "n=20" \
	"a function that begins in what is inlined there, once"
# Each line where the line table has it: at no other address, and at its lowest statement.
rows() # EXPRESSION: lines and addresses of the rows that end in it
{
	objdump --dwarf=decodedline "$tracees/points" 2>/dev/null |
		sed -n "s/^points\\.c  *\\([0-9][0-9]*\\)  *0x\\([0-9a-f]*\\)$1\$/\\1 0x\\2/p" | sort -u
}
if [ "$(rows ' .*x *' | wc -l)" -ge 20 ]; then
	rows ' .*x *' | cut -d' ' -f1 | sort -un | while read -r n; do
		"$utrace" list -v "process(\"$tracees/points\").statement(\"*@points.c:$n\")" 2>&1 |
			sed -n "s/^    \(0x[0-9a-f]*\): .*/$n \1/p"
	done | sort -u >"$dir/places"
	rows '.*' >"$dir/rows"
	is "$(comm -13 "$dir/rows" "$dir/places")" "" "no line is looked for where it is not"
	rows ' .*x *' | sort -k1,1n -k2,2 | awk '$1 != last { print; last = $1 }' | sort >"$dir/first"
	is "$(comm -23 "$dir/first" "$dir/places")" "" "... and each where it begins"
else
	skip "objdump tells no statements of line tables here"
fi
like "$(list 'statement("branch")')" "statement\(\"branch@.*points.c:[0-9]+\"\)" "a statement without a line"
is "$(count "statement($address)" "$points")" "n=$(own leaves)" "statement(ADDRESS)"
like "$(list 'statement(0x10)')" "no match" "an address outside of code"
like "$(list "statement($address).absolute")" "needs process\(PID\)" "an absolute address needs a process"

out=$("$utrace" run "$here/../../examples/lines.stp" points.c -c "$points" 2>&1)
like "$out" "^ +$(own leaves) leaf@.*points.c:[0-9]+$" "examples/lines.stp"

# ---- labels and callees
is "$(count 'function("branch").label("done")' "$points")" "n=$(own labels)" ".label"
like "$(list 'function("*").label("d*")')" "function\(\"branch@.*points.c:[0-9]+\"\).label\(\"done\"\)" "wildcards in labels"
like "$(list 'function("branch").label("nope")')" "has no such label" "a label that is not there"
is "$(count 'function("branch").callee("leaf")' "$points")" "n=10" ".callee: only when called from there"
is "$(count 'function("other").callee("leaf").return' "$points")" "n=20" ".callee().return"
is "$(count 'function("branch").callee("scale")' "$points")" "n=30" ".callee: inlined"
is "$(list 'function("branch").callees' | sed 's/.*callee("\([a-z]*\)@.*/\1/' | sort -u | tr '\n' ' ')" "leaf scale " ".callees"
like "$(list 'function("main").callees(2)')" "callee\(\"branch@[^\"]*\"\).callee\(\"leaf@" ".callees(N)"

# ---- the program's links to others
is "$(count 'plt("printf")' "$points")" "n=1" ".plt"
like "$(list 'plt("prin")')" "no match \(similar stubs: printf" "a .plt that is not there"
is "$(run 'probe process.plt("printf") { printf("%s %s\n", $$name, user_string(pointer_arg(1), "?")); exit() }' "$points" |
	cut -c1-14)" "printf rounds=" "arguments at a .plt"
if test -x "$tracees/stubs"; then
	out=$(run 'global n, r probe process.plt { n[$$name]++ } probe process.plt.return { r[$$name]++ }
		probe end { foreach (f in n+) printf("%s=%d/%d ", f, r[f], n[f]) println("") }' "$tracees/stubs")
	for pair in abs=100/100 _Znwm=50/100 qsort=400/500 calloc=0/100 free=100/100 _setjmp=100/100 longjmp=0/100 puts=1/1; do
		like "$out" "(^| )$pair " ".plt.return: $pair"
	done
	like "$out" 'plt\("calloc"\).return does not see the returns of 1 tail call' "... tail calls are told"
	like "$out" 'plt\("longjmp"\).return at .* refused: the function never returns' "... and what never returns"
	is "$(run 'probe process.plt("abs").return { printf("%d %d\n", @entry(int_arg(1)), returnval()); exit() }' "$tracees/stubs" |
		tail -n 1)" "5 5" "values from the entry and of the return"
	is "$("$utrace" list -v "process(\"$tracees/stubs\").plt(\"abs\").return" 2>&1 | grep -c " at 0x")" 1 \
		"a listing names the places"
else
	skip "no C++ compiler here: returns of stubs"
fi
out=$(run 'global n probe process.library("libc.so*").function("memset") { n++ } probe end { printf("%d\n", n > 0) }' \
	"python3 -c pass")
is "$out" "1" "an indirect function: its implementations are probed"
like "$(list 'library("libc.so.6").function("memcpy@@GLIBC_2.14")')" "function\(\"__mem" "FUNC@@VERSION"
like "$(list 'library("libc.so.6").function("pthread_cond_wait@GLIBC_2.2.5")')" "function\(\"" "FUNC@VERSION, an old one"

# ---- libraries that a process opened by itself, addresses of a process
python3 -c 'import ctypes, sys; print("ready", flush=True); sys.stdin.read()' <"$dir/fifo" >"$dir/ready" 2>/dev/null &
pid=$!
if wait_for 30 grep -q ready "$dir/ready"; then
	like "$("$utrace" list -x $pid 'process.library("*_ctypes*").function("PyInit__ctypes")' 2>&1)" \
		'library\(".*_ctypes.*"\).function\("PyInit__ctypes' "a library that dlopen() brought"
	start=$(sed -n 's/^\([0-9a-f]*\)-.* r-xp .*python.*/\1/p' "/proc/$pid/maps" | head -n 1)
	like "$("$utrace" list "process($pid).statement(0x$start).absolute" 2>&1)" "statement\(0x$start\).absolute" \
		"an absolute address"
	like "$("$utrace" list "process($pid).statement(0x10).absolute" 2>&1)" "process $pid has no code of a file at 0x10" \
		"... where there is no code"
else
	skip "no python3 with ctypes here: libraries opened by the program"
fi
exec 9>&-
kill $pid 2>/dev/null
wait $pid 2>/dev/null
libz=$(ls /usr/lib/*/libz.so.1 2>/dev/null | head -n 1)
if [ -n "$libz" ]; then
	out=$(run "probe process.library(\"$libz\").function(\"inflate\") { println(1) }" "$points")
	like "$out" "WARNING: '.*libz.so[^']*' is not a needed library of '$tracees/points'" "a library that nobody needs is probed, and told"
else
	skip "no libz here: a library that is not needed"
fi
like "$(list 'library("libq*").function("f")')" "no match" "no such library"

# ---- list
is "$("$utrace" list -L "process(\"$tracees/points\").function(\"branch\").return" | sed 's/.*return //')" \
	'$return:int $n:int $text:char const*' "list -L: the return value first"
is "$(list 'function("scale")' | wc -l)" "1" "places of one point are one line"
out=$("$utrace" list -v "process(\"$tracees/points\").function(\"scale\")" 2>&1)
is "$(printf '%s\n' "$out" | grep -c '^    0x[0-9a-f]*: ')" "2" "list -v: each place and its patch"
like "$out" "jump over|short jump to padding|breakpoint, 1 byte at .*: no jump, " "... with form and size"
like "$("$utrace" list -v "process(\"$tracees/points\").statement($(printf '0x%x' $((address + 1))))" 2>&1)" \
	"refused: no instruction of the function at $address begins at" "... or the reason of the refusal"

# ---- C++
if [ -x "$tracees/points-cxx" ]; then
	for point in 'f:60' 'ns::thing::f:60' 'thing::f(int):20' 'f(char const*):40' 'box::get:60' \
		'ns::box<int>::get:20' 'box<long>::get:40' 'thing::thing:40' '~thing:40' \
		'(anonymous namespace)::hidden:60' 'thing::operator<:20' 'ns::*@points.cc:220'; do
		is "$(count "function(\"${point%:*}\").call" "$tracees/points-cxx 20")" "n=${point##*:}" "C++: ${point%:*}"
	done
else
	skip "no C++ compiler here: C++ names"
fi

# ---- Go and Rust
if [ -x "$tracees/points-go" ]; then
	for program in points-go points-go-stripped; do
		out=$(count 'function("main.deep")' "$tracees/$program 500" | grep n=)
		is "$out" "n=4008" "$program: growing stacks does not count twice"
		out=$(count 'function("main.(*thing).add")' "$tracees/$program 5" | grep n=)
		is "$out" "n=10" "$program: a method"
	done
	like "$(list 'function("main.deep")' "$tracees/points-go")" "main.deep@.*points.go:[0-9]{2}\"" "Go: file and line"
else
	skip "no go here: Go programs"
fi
if [ -x "$tracees/points-rust-v0" ]; then
	for program in points-rust points-rust-v0; do
		for point in 'area:50' 'shapes::total:1' 'points::shapes::total:1' 'total:1'; do
			is "$(count "function(\"${point%:*}\").call" "$tracees/$program 50")" "n=${point##*:}" \
				"$program: ${point%:*}"
		done
	done
	debug='process.function("total<*")'
	is "$(run "probe $debug { println(\$all->length) }" "$tracees/points-rust-debug 7")" "7" \
		"a parameter of Rust that is not optimised"
	is "$(run "probe $debug.return { println(@entry(\$all->length), \" \", \$return) }" "$tracees/points-rust-debug 7")" \
		"7 91" "... when the function returns"
	# Of an enum the variant is shown that is there: it is told by a number, or by what the data cannot be.
	shown() # FUNCTION VALUE
	{
		run "probe process.function(\"enums::$1\") { println($2) }" "$tracees/enums-rust" | grep -v '^6$'
	}
	is "$(shown shape '$s$$' | sed 's/0x[0-9a-f]*/POINTER/')" "{.Nothing={}}
{.Circle={.__0=5}}
{.Square={.side=-3, .name={.data_ptr=POINTER, .length=4}}}" "an enum of Rust: each variant"
	is "$(shown shape '$s$, " ", $s->__discriminant')" "{.Nothing={}} 0
{.Circle={.__0=5}} 1
{.Square={.side=-3, .name={...}}} 2" "... its structures only with \$\$"
	is "$(shown reference '$$parms$$' | sed 's/0x[0-9a-f]*/POINTER/')" "r={.None={}} b={.Some={.__0=POINTER}} n=0
r={.Some={.__0=POINTER}} b={.None={}} n=1" "... a pointer that is none"
	is "$(shown signed '$$parms$$')" "s={.Low={.__0=1}} o={.One={.__0=3}} n=0
s={.High={.__0=2}} o={.One={.__0=4}} n=1" "... a negative number; a single variant"
	is "$(shown place '$p$$')" "{.at={.Some={.__0={.Circle={.__0=8}}}}, .letter={.None={}}, .deep={.Some={.__0={.None={}}}}}
{.at={.None={}}, .letter={.Some={.__0=120}}, .deep={.Some={.__0={.Some={.__0=1}}}}}" "... in each other"
	is "$(run 'probe process.function("*") { if (strlen($$vars$$) < 0) println("?") }' "$tracees/enums-rust" | grep -v refused)" "6" \
		"... in all functions there are"
else
	skip "no rustc here: Rust programs"
fi
tap_done
