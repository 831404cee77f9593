#!/bin/sh
# Handlers that look around at every function of programs of others: at all variables, at the stack, at what arguments
# may point to.  Most of these pointers are none: the reads fault where programs have handlers of their own for that.
# From the start, and in visits to the running program, some of which end by killing the tracer.  As ourselves, and where we
# are root as an ordinary user too.
# usage: handlers.sh BUILD [NAME...]      DURATION: seconds to go on for (60), each program once at least
#
# The oracles: those of workloads/visits.sh; no handler skipped; something was seen.
utrace=$1/utrace
shift
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
chmod 777 "$dir"
. "$(dirname "$0")/workloads/programs.sh"
. "$workloads/visits.sh"
trap 'kill $pids $server 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
end=$(($(date +%s) + ${DURATION:-60}))
many='^[1-9][0-9]+$' longer=4
# with the debug information of our own compilers; with what the distribution leaves
described="musl-static rust go-static go sanitized-address sanitized-thread"
bare="bash sqlite3 python3 node java perl openssl git $all_servers"

body() # KIND: what a handler does, without locks; m: what there was to see
{
	case $1 in
	variables) echo 'm <<< strlen($$vars) > 0' ;;
	returns) echo 'm <<< strlen($$return) > 0' ;;
	stacks | stacks-at-returns) echo 'm <<< strlen(ubacktrace()) > 0' ;;
	pointers) echo 'try { m <<< strlen(user_string(pointer_arg(1))) > 0 } catch { }
		m <<< strlen(user_string_quoted(pointer_arg(2))) > 2 try { m <<< user_int64(pointer_arg(3)) != 0 } catch { }' ;;
	esac
}

script() # KIND: handlers are long: of a program's many hits one in $every has one
{
	case $1 in returns | *-at-returns) suffix=.return ;; *) suffix= ;; esac
	echo "global m probe process(\"$file\").function(\"*\")$suffix { if (randint($every) == 0) { $(body $1) } }
		probe end { println(@sum(m)) }"
}

# What the tracer says of handlers that did not run as they should.
complains() { grep -q "skipped\|ERROR" "$1"; }

looked() # NAME KIND
{
	rm -f "$dir/count"
	$as "$utrace" run -o "$dir/count" -e "$(script $2)" -c "$command" >"$dir/armed" 2>"$dir/said"
	got=$(sed -n 's/.*Child process exited with //p' "$dir/said")
	[ $status = 0 ] && want= || want="status $status"
	complains "$dir/said" && bad=1 || bad=0
	seen=$(tail -n 1 "$dir/count")
	cmp -s "$dir/plain" "$dir/armed" && [ "$got" = "$want" ] && [ $bad = 0 ] && [ "${seen:-0}" -gt 100 ]
	good=$?
	ok $good "$1, $2$who: as alone, $seen times something to see"
	[ $good != 0 ] || return
	[ "$got" = "$want" ] || echo "# got: $got, want: $want"
	differences "$dir/armed"
	grep -v refused "$dir/said" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
}

visit() # PID KIND: some seconds of it
{
	rm -f "$dir/count"
	$as "$utrace" run -o "$dir/count" -e "$(script $2) probe timer.s(2) { exit() }
		probe process.end { if (pid() == target()) exit() }" -x $1 >"$dir/visit" 2>&1 || return
	if complains "$dir/visit"; then
		ok 1 "$name, $2$who: handlers of a visit run"
		grep "skipped\|ERROR" "$dir/visit" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
	fi
	[ "$(tail -n 1 "$dir/count")" -gt 0 ]
}

stay() # PID KIND
{
	exec $as "$utrace" run -o "$dir/count" -e "$(script $2)" -x $1
}

kinds() # NAME
{
	echo "stacks pointers stacks-at-returns"
	case " $described " in *" $1 "*) echo "variables returns" ;; esac
}

test_program() # NAME
{
	why=
	program "$1" 1 || { skip "$1$who: $why"; return; }
	sh -c "exec $as $command" >"$dir/plain" 2>&1
	for kind in $(kinds "$1"); do looked "$1" "$kind"; done
	visited "$1" $(kinds "$1")
}

test_one() # NAME
{
	case $1 in rust | go*) every=1009 ;; node | java | openssl) every=211 ;; *) every=7 ;; esac
	case " $all_servers " in
	*" $1 "*) served "$1" $(kinds "$1") ;;
	*) test_program "$1" ;;
	esac
}

[ $# -gt 0 ] || set -- $described $bare
while :; do
	for name; do for_users test_one "$name"; done
	[ "$(date +%s)" -lt $end ] || break
done
tap_done
