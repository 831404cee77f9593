#!/bin/sh
# Points that name a process or a program, and no others' hits.   usage: test-whose.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
cp "$tracees/sleeper" "$dir/other"
"$tracees/sleeper" >"$dir/out.first" &
first=$!
"$tracees/sleeper" >"$dir/out.second" &
second=$!
"$dir/other" >"$dir/out.third" &
third=$!
pids="$first $second $third"
for name in first second third; do
	wait_for 5 grep -q ready "$dir/out.$name"
done

run() # MODE SCRIPT [OPTIONS]
{
	mode=$1 script=$2
	shift 2
	"$utrace" run --mode="$mode" -e "$script" "$@" 2>"$dir/err"
}

print='probe end { foreach (p+ in n) println(n[p]) }'
for mode in inject ptrace; do
	is "$(run $mode "global n, k probe process($first).function(\"tick\") { n[pid()] = pid(); if (++k == 3) exit() } $print")" \
		"$first" "$mode: a process by number"
	is "$(run $mode "global n, k, l probe process($first).function(\"tick\") { n[pid()] = 1; if (++k >= 3 && l >= 3) exit() }
		probe process($second).function(\"tick\") { n[-pid()] = 2; if (++l >= 3 && k >= 3) exit() }
		probe end { foreach (p in n+) println(p == $first ? \"first\" : p == -$second ? \"second\" : \"wrong\", n[p]) }")" \
		"$(printf 'first1\nsecond2')" "$mode: two processes with a handler each, at one place"
	is "$(run $mode "global n, k probe process($second).library(\"libc.so.6\").function(\"epoll_wait\") {
		n[pid()] = pid(); if (++k == 3) exit() } $print")" "$second" "$mode: a library in a process by number"
	is "$(run $mode "global n, k probe process(\"$dir/other\").library(\"libc.so.6\").function(\"epoll_wait\") {
		n[pid()] = pid(); if (++k == 3) exit() } $print")" "$third" "$mode: a library in a program"
	is "$(run $mode 'global n
		probe process("ls").library("libc.so.6").function("__libc_start_main").call { n["ls: " . execname()]++ }
		probe process("cat").library("libc.so.6").function("__libc_start_main").call { n["cat: " . execname()]++ }
		probe end { foreach (p+ in n) println(p, " ", n[p]) }' -c "sh -c 'ls /dev/null | cat >/dev/null; true'")" \
		"$(printf 'cat: cat 1\nls: ls 1')" "$mode: one library, two programs, a shell that runs them"
	is "$(run $mode 'global n probe process.library("libc.so.6").function("__libc_start_main").call { n[execname()]++ }
		probe end { foreach (p+ in n) println(p, " ", n[p]) }' -c "sh -c 'ls /dev/null | cat >/dev/null; true'")" \
		"$(printf 'cat 1\nls 1\nsh 1')" "$mode: a library in all that the command runs"
done
for pid in $pids; do
	is "$(text_state $pid)" "same" "process $pid is as before"
done
tap_done
