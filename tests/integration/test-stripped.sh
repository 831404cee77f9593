#!/bin/sh
# Functions of programs without symbols, found in their unwind tables.   usage: test-stripped.sh UTRACE TRACEES
utrace=$1
tracees=$(realpath "$2")
here=$(dirname "$0")
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$tracees/points" "$dir/points"
strip -s "$dir/points"
python3 -c '
import sys
image = bytearray(open(sys.argv[1], "rb").read())
image[40:48] = bytes(8)  # e_shoff
image[58:64] = bytes(6)  # e_shentsize, e_shnum, e_shstrndx
open(sys.argv[2], "wb").write(image)' "$dir/points" "$dir/headless"

address() # SYMBOL: its address in the file
{
	nm "$tracees/points" | sed -n "s/^0*\([0-9a-f]*\) [tT] $1\$/\1/p"
}

list() # POINT [PROGRAM]
{
	"$utrace" list "process(\"${2:-$dir/points}\").$1" 2>&1
}

run() # SCRIPT: what the script prints
{
	"$utrace" run -e "$1" -c "$dir/points 20" 2>&1 | grep -v '^rounds='
}

leaves=$("$dir/points" 20 | sed 's/.*leaves=\([0-9]*\).*/\1/')
leaf=sub_$(address leaf)
branch=sub_$(address branch)
main=sub_$(address main)

like "$(list 'function("*")')" "function\(\"$leaf\"\)" "a wildcard finds what has no symbol"
like "$(list 'function("*")')" "function\(\"$main\"\)" "... the main program too"
is "$(list 'function("*")' | grep -c sub_)" \
	"$(nm "$tracees/points" | grep -Ec ' [tT] (main|leaf|branch|other|_start)$')" "... and nothing else"
is "$(list "function(\"$leaf\")")" "process(\"$dir/points\").function(\"$leaf\")" "such a name by itself"
out=$(list 'function("leaf")')
like "$out" "no match.*is stripped: [0-9]+ of its functions have no name but sub_ADDRESS" \
	"a name that was stripped is an error that says why"
unlike "$out" "similar functions:.*sub_" "... and no address is similar to it"
is "$(run "global n probe process.function(\"$leaf\") { n++ } probe end { printf(\"n=%d\\n\", n) }")" \
	"n=$leaves" "calls are counted"
is "$(run "global n probe process.function(\"$leaf\").return { n++ } probe end { printf(\"n=%d\\n\", n) }")" \
	"n=$leaves" "returns are counted"
is "$(run "probe process.function(\"sub_*\") { if (ppfunc() == \"$leaf\") { println(ppfunc()); exit() } }")" \
	"$leaf" "ppfunc"
is "$(run "probe process.function(\"$leaf\") { println(usymname(uaddr())); exit() }")" \
	"$leaf" "usymname"
like "$(run "probe process.function(\"$leaf\") { print_ubacktrace(); exit() }")" ": $branch\\+0x" "stacks"
like "$(list "function(\"$leaf\")" "$dir/headless")" "$leaf" "without section headers"

# parts that were split off are no functions
if "$utrace" list 'process("/usr/bin/openssl").function("*")' >"$dir/openssl" 2>&1 &&
	grep -q 'sub_' "$dir/openssl"; then
	like "$(cat "$dir/openssl")" '"sub_[0-9a-f]+"' "a distribution's stripped program"
	unlike "$(cat "$dir/openssl")" '\.cold' "... without the cold parts of its functions"
	out=$("$utrace" run -e 'global n probe process.function("*") { n++ } probe end { println(n > 0) }' \
		-c '/usr/bin/openssl version' 2>&1)
	want=$(/usr/bin/openssl version)
	is "$out" "$want
1" "... runs with all of them armed"
else
	skip "openssl is not there, or has symbols"
fi
tap_done
