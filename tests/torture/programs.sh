#!/bin/sh
# Programs of others with all of their functions armed: entries, then returns; from the start, and in visits to
# the running program, some of which end by killing the tracer.  As ourselves, and where we are root as an ordinary
# user too.   usage: programs.sh BUILD [short] [NAME...]     short: from the start only
utrace=$1/utrace
shift
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
chmod 777 "$dir"
. "$(dirname "$0")/workloads/programs.sh"
. "$workloads/visits.sh"
trap 'kill $pids $server 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
many='^[1-9][0-9]{4,}$'

script() # FILE SUFFIX: count all functions
{
	echo "global n probe process(\"$1\").function(\"*\")$2 { n++ } probe end { println(n) }"
}

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
	differences "$dir/armed"
	grep -v refused "$dir/said" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
}

visit() # PID SUFFIX: until all is armed, and hit
{
	rm -f "$dir/count"
	$as "$utrace" run -o "$dir/count" -e "global n probe process(\"$file\").function(\"*\")$2 { if (++n > 2000) exit() }
		probe process.end { if (pid() == target()) exit() } probe end { println(n) }" -x $1 >"$dir/visit" 2>&1 &&
		[ "$(tail -n 1 "$dir/count")" -gt 0 ]
}

stay() # PID SUFFIX
{
	exec $as "$utrace" run -o "$dir/count" -e "$(script "$file" $2)" -x $1
}

# Some that distributions strip (busybox, fpc) have neither names nor frames by which functions could be found.
has_functions() # FILE
{
	[ "$("$utrace" list "process(\"$1\").function(\"*\")" 2>/dev/null | wc -l)" -gt 100 ] || {
		why="its functions have no names here"
		return 1
	}
}

test_program() # NAME
{
	why=
	program "$1" 1 && has_functions "$file" || { skip "$1$who: $why"; return; }
	sh -c "exec $as $command" >"$dir/plain" 2>&1
	armed "$1" ""
	armed "$1" .return
	[ -n "$short" ] || visited "$1" '' .return '' .return
}

test_one() # NAME
{
	# the short form shows it with one program
	[ -z "$short" ] || [ -z "$user" ] || [ "$1" = python3 ] || return
	case " $all_servers " in
	*" $1 "*) served "$1" '' .return ;;
	*) test_program "$1" ;;
	esac
}

short=
if [ "${1:-}" = short ]; then
	short=yes
	shift
	# a few minutes' worth
	[ $# -gt 0 ] || set -- bash sqlite3 python3 go-static rust redis
fi
[ $# -gt 0 ] || set -- $all_programs $other_programs $all_servers
for name; do for_users test_one "$name"; done
tap_done
