#!/bin/sh
# Programs of others with all of their functions armed: entries, then returns; from the start, and in visits to
# the running program, some of which end by killing the tracer.  As ourselves, and where we are root as an ordinary
# user too.   usage: programs.sh BUILD [short] [NAME...]     short: from the start only
#
# The oracles: output and exit status as without us; text byte for byte what it was; nothing left mapped; no thread
# missing; a program that lives on after its tracer was killed.
utrace=$1/utrace
shift
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
chmod 777 "$dir"
. "$(dirname "$0")/workloads/programs.sh"
pids=
trap 'kill $pids $server 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

script() # FILE SUFFIX: count all functions
{
	echo "global n probe process(\"$1\").function(\"*\")$2 { n++ } probe end { println(n) }"
}

# One that has ended is as clean as can be.
clean() { ended $1 || [ "$(text_state $1)" = same ] || ended $1; }

ended() { ! grep -q '^State:.[^ZX]' /proc/$1/status 2>/dev/null; }

# From the start.  Each armed run also counts: an armed program that is never hit proves nothing.
armed() # NAME SUFFIX
{
	rm -f "$dir/count"
	$as "$utrace" run -o "$dir/count" -e "$(script "$file" $2)" -c "$command" >"$dir/armed" 2>"$dir/said"
	got=$(sed -n 's/.*Child process exited with //p' "$dir/said")
	[ $status = 0 ] && want= || want="status $status"
	cmp -s "$dir/plain" "$dir/armed" && [ "$got" = "$want" ] && [ "$(tail -n 1 "$dir/count")" -gt 1000 ]
	good=$?
	ok $good "$1$2$who: as alone, $(tail -n 1 "$dir/count") hits"
	[ $good != 0 ] || return
	[ "$got" = "$want" ] || echo "# got: $got, want: $want"
	diff "$dir/plain" "$dir/armed" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
	grep -v refused "$dir/said" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
}

visit() # PID SUFFIX: until all is armed, and hit
{
	rm -f "$dir/count"
	$as "$utrace" run -o "$dir/count" -e "global n probe process(\"$file\").function(\"*\")$2 { if (++n > 2000) exit() }
		probe process.end { if (pid() == target()) exit() } probe end { println(n) }" -x $1 >"$dir/visit" 2>&1
}

# Visits to the running program; the last ones end by SIGKILL.
visited() # NAME
{
	sh -c "exec $as $command" >"$dir/visited" 2>&1 &
	pid=$! visits=0 dirty=0
	pids="$pids $pid"
	for how in '' .return '' .return; do
		! ended $pid && visit $pid $how && [ "$(tail -n 1 "$dir/count")" -gt 0 ] && visits=$((visits + 1))
		wait_for 10 clean $pid || dirty=$((dirty + 1))
	done
	for delay in 0.1 0.4 0.9 2.5; do
		! ended $pid || break
		$as "$utrace" run -e "$(script "$file")" -x $pid >/dev/null 2>&1 &
		tracer=$!
		sleep $delay
		kill -KILL $tracer 2>/dev/null
		wait $tracer 2>/dev/null
		wait_for 20 clean $pid || dirty=$((dirty + 1))
	done
	wait $pid
	got=$?
	cmp -s "$dir/plain" "$dir/visited" && [ $got = $status ]
	good=$?
	# its work was done before a visit was: that shows nothing
	[ $visits != 0 ] || [ $good != 0 ] || { skip "$1$who: ended before all functions were armed"; return; }
	ok $good "$1$who: as alone, visited $visits times and left by killed tracers (status $got)"
	diff "$dir/plain" "$dir/visited" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
	is $dirty 0 "$1$who: text and mappings as before after each visit"
}

# Some that distributions strip (busybox, fpc) have neither names nor frames by which functions could be found.
has_functions() # FILE
{
	[ "$("$utrace" list "process(\"$1\").function(\"*\")" 2>/dev/null | wc -l)" -gt 100 ] || {
		why="its functions have no names here"
		return 1
	}
}

test_program() # NAME ROUNDS
{
	why=
	program "$1" "${2:-1}" && has_functions "$file" || { skip "$1$who: $why"; return; }
	sh -c "exec $as $command" >"$dir/plain" 2>&1
	armed "$1" ""
	armed "$1" .return
	[ -z "$3" ] || return
	program "$1" $(rounds "$1")
	sh -c "exec $as $command" >"$dir/plain" 2>&1
	visited "$1"
}

# What takes some seconds.
rounds() # NAME
{
	case $1 in
	python3 | node | systemd | luajit) echo 60 ;; java | gdb) echo 30 ;; vim | tar | sanitized-*) echo 100 ;;
	perl | lua | curl | musl-static | rust | sqlite3) echo 400 ;; php | tcc) echo 200 ;; ruby | tmux | fpc) echo 50 ;;
	go* | openssl | cc1 | xz | lto1 | stress-ng) echo 5 ;; git | zstd | ld | ffmpeg) echo 12 ;; *) echo 8 ;;
	esac
}

state() # PIDS: threads and signals of each
{
	for p; do grep -E '^(Sig(Cgt|Ign|Blk)|Threads|NoNewPrivs)' /proc/$p/status; done
}

test_server() # NAME
{
	why=
	server "$1" || { skip "$1: $why"; server_stop; return; }
	target=$server
	[ "$1" != nginx ] || target=$(pgrep -P $server | head -n 1)
	server_load "$1" >"$dir/plain" 2>&1
	before=$(state $target)
	for how in '' .return KILL; do
		suffix=$how
		[ "$how" != KILL ] || suffix=
		rm -f "$dir/count"
		$as "$utrace" run -o "$dir/count" -e "$(script "$file" $suffix)" -x $target >"$dir/said" 2>&1 &
		tracer=$!
		armed_now() { ! clean $target; }
		wait_for 60 armed_now
		server_load "$1" >"$dir/armed" 2>&1
		cmp -s "$dir/plain" "$dir/armed"
		ok $? "$1$how$who: answers as alone"
		diff "$dir/plain" "$dir/armed" | head -n 6 | cut -c 1-200 | sed 's/^/# /'
		[ "$how" = KILL ] && kill -KILL $tracer || kill -INT $tracer
		wait $tracer 2>/dev/null
		[ "$how" = KILL ] || like "$(tail -n 1 "$dir/count")" "^[1-9][0-9]{4,}$" "... with many hits"
		for p in $target $(pgrep -P $server); do
			wait_for 20 clean $p || break
		done
		is "$(text_state $target)" "same" "... text and mappings as before"
		is "$(state $target)" "$before" "... threads and signals as before"
	done
	server_load "$1" >"$dir/armed" 2>&1
	cmp -s "$dir/plain" "$dir/armed"
	ok $? "$1$who: goes on after all"
	server_stop
}

short=
if [ "${1:-}" = short ]; then
	short=yes
	shift
	# a few minutes' worth
	[ $# -gt 0 ] || set -- bash sqlite3 python3 go-static rust redis
fi
[ $# -gt 0 ] || set -- $all_programs $other_programs $all_servers
for name; do
	for user in "" nobody; do
		as= who=
		[ -z "$user" ] || [ "$(id -u)" = 0 ] || continue
		[ -z "$user" ] || { as=$nobody who=", as $user"; }
		# the short form shows it with one program
		[ -z "$short" ] || [ -z "$user" ] || [ "$name" = python3 ] || continue
		case " $all_servers " in
		*" $name "*) test_server "$name" ;;
		*) test_program "$name" 1 $short ;;
		esac
	done
done
tap_done
