#!/bin/sh
# Writes docs/programs.md: programs of others with all of their functions armed, by form of patch, and what it costs.
# usage: table.sh BUILD >docs/programs.md
#        table.sh BUILD NAME...     rows of these only
#
# Times are of processors, the least of three runs each; planning and arming are told apart from running by a run that
# does nothing.
utrace=$1/utrace
shift
dir=$(mktemp -d)
chmod 777 "$dir"
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/workloads/programs.sh"
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

best() # COMMAND...: milliseconds of processor time with children, the least of three runs
{
	for run in 1 2 3; do
		python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
r = resource.getrusage(resource.RUSAGE_CHILDREN)
print(round(1000 * (r.ru_utime + r.ru_stime)))' "$@"
	done | sort -n | head -n 1
}

forms() # FILE SUFFIX: places by form, as list -v tells them
{
	"$utrace" list -v "process(\"$1\").function(\"*\")$2" 2>&1 | awk '
		/^process/ { functions++ }
		/: jump over one instruction/ { single++ }
		/: jump over [0-9]+ instructions/ { window++ }
		/: short jump/ { short++ }
		/: breakpoint/ { breakpoint++ }
		/refused: / { refused++; sub(/.*refused: /, ""); sub(/instruction at 0x[0-9a-f]+: /, ""); sub(/ \(at 0x[0-9a-f]+\)/, "");
			gsub(/0x[0-9a-f]+/, "ADDRESS"); rules[$0]++ }
		END {
			printf "%d | %d | %d | %d | %d | %d", functions, single, window, short, breakpoint, refused
			for (r in rules) if (rules[r] > most) { most = rules[r]; rule = r }
			printf " | %s", most ? rule " (" most ")" : ""
		}'
}

row() # NAME TIMES
{
	echo "| $1 | $(forms "$file" "") | $2 |"
	echo "| $1, returns | $(forms "$file" .return) | |"
}

slowdown() # PLAIN ARMED NOTHING
{
	awk -v plain=$1 -v armed=$2 -v idle=$3 'BEGIN { if (plain < 1) plain = 1
		printf "%.2f s | %.1f x | %.2f s", plain / 1000, (armed - idle) / plain + 0, idle / 1000 }'
}

heading()
{
cat <<'END'
# Programs with all of their functions armed

Made by `tests/torture/table.sh`. Each program does a fixed piece of work (`tests/torture/workloads/`) alone and with
a counting probe on every function of the named file; its output and exit status are compared by
`tests/torture/programs.sh`, which also visits the running program and kills the tracer.

- **functions**: names that `function("*")` matches; a function's inlined copies are further places of it, and have no returns.
- **one** and **window**: a five-byte jump over one instruction, or over a window of several; **short**: a two-byte jump to padding;
  **int3**: a breakpoint, answered in the process; **refused**: places left alone, with the rule met most often. No
  program here needs ptrace mode.
- **attached**: a server that was running; the processor time is that of its processes.
- Each process is armed anew: the work of git and openssl is that of many processes.
- **alone**: processor time of the work without us; **armed**: how many times as much with all entries armed, every hit
  counted, without planning and arming; **arming**: processor time for that, all threads of utrace, the least of three
  runs: what is kept in the cache from one run to the next is there.

END
echo "Machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, Linux $(uname -r)."
echo
echo "| program | functions | one | window | short | int3 | refused | rule most often | alone | armed | arming |"
echo "|---|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|"
}

# ---- programs

program_row() # NAME
{
	name=$1 why=
	case $name in sqlite3 | rust) rounds=30 ;; python3 | perl | lua | php | luajit | curl) rounds=20 ;; vim | tcc | tar) rounds=10 ;;
	bash | git | zstd | gdb) rounds=3 ;; *) rounds=1 ;; esac
	program "$name" $rounds || { echo "| $name | - | | | | | | not measured: $why | | | |"; return; }
	entry="global n probe process(\"$file\").function(\"*\") { n++ } probe end { println(n) }"
	plain=$(best sh -c "exec $command")
	armed=$(best "$utrace" run -o "$dir/count" -e "$entry" -c "$command")
	# the same file, mapped by a program that ends at once
	case $name in bash) command="$file -c :" ;; sqlite3) command="sqlite3 :memory: ''" ;; python3) command="$file -S -c pass" ;;
	node) command="$file -v" ;; java) command="$found -version" ;; cc1) command="$file -version" ;; openssl) command="openssl version" ;;
	perl | ruby) command="$found -e 0" ;; php) command="$file -r ;" ;; lua | luajit) command="$file -v" ;; busybox) command="$file true" ;;
	go | go-static | rust | musl-static | sanitized-*) command="$file 0" ;; *) command="$found --version" ;; esac
	idle=$(best "$utrace" run -o "$dir/count" -e "$entry" -c "$command")
	alone_idle=$(best sh -c "exec $command")
	row "$name" "$(slowdown $plain $armed $((idle - alone_idle)))"
}

# ---- servers: attached to

ticks() # PIDS: processor time of processes and what they have reaped, milliseconds
{
	cat $(for p; do echo /proc/$p/stat; done) 2>/dev/null | sed 's/.*) //' |
		awk '{ t += $12 + $13 + $14 + $15 } END { print t * 10 }'
}

tree() { echo $server $(pgrep -P $server); }

load_time() # NAME: what the server needs for its load
{
	before=$(ticks $(tree))
	for round in 1 2 3 4 5; do server_load "$1" >"$dir/load-out" 2>&1; done
	echo $(($(ticks $(tree)) - before))
}

server_row() # NAME
{
	why=
	server "$1" || { echo "| $1 | - | | | | | | not measured: $why | | | |"; server_stop; return; }
	target=$server
	[ "$1" != nginx ] || target=$(pgrep -P $server | head -n 1)
	load_time "$1" >/dev/null
	plain=$(load_time "$1")
	"$utrace" run -o "$dir/count" -e "global n probe process(\"$file\").function(\"*\") { n++ } probe end { println(n) }" \
		-x $target >"$dir/said" 2>&1 &
	tracer=$!
	armed_now() { [ "$(text_state $target)" != same ]; }
	wait_for 120 armed_now
	load_time "$1" >/dev/null
	armed=$(load_time "$1")
	kill -INT $tracer
	wait $tracer
	server_stop
	row "$1, attached" "$(slowdown $plain $armed 0 | sed 's/ | [^|]*$/ | -/')"
}

rows() # NAME...
{
	for name; do
		case " $all_servers " in
		*" $name "*) server_row "$name" ;;
		*) program_row "$name" ;;
		esac
	done
}

[ $# = 0 ] || { rows "$@"; exit; }
heading
rows $all_programs $table_programs $all_servers
