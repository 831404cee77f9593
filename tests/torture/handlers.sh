#!/bin/sh
# Handlers that look around at every function of programs of others: at all variables, at the stack, at what arguments
# may point to.  Most of these pointers are none: the reads fault where programs have handlers of their own for that.
# usage: handlers.sh BUILD [NAME...]      DURATION: seconds to go on for (60), each program once at least
#
# The oracles: output and exit status as without us; no handler skipped; something was seen.
utrace=$1/utrace
shift
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
chmod 777 "$dir"
. "$(dirname "$0")/workloads/programs.sh"
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
end=$(($(date +%s) + ${DURATION:-60}))
# with the debug information of our own compilers; with what the distribution leaves
described="musl-static rust go-static go sanitized-address sanitized-thread"
bare="bash sqlite3 python3 node java perl openssl git"

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

# Handlers are long: of a program's many hits one in EVERY has one.
looked() # NAME KIND EVERY
{
	case $2 in returns | *-at-returns) suffix=.return ;; *) suffix= ;; esac
	rm -f "$dir/count"
	"$utrace" run -o "$dir/count" -e "global m probe process(\"$file\").function(\"*\")$suffix { if (randint($3) == 0) { $(body $2) } }
		probe end { println(@sum(m)) }" -c "$command" >"$dir/armed" 2>"$dir/said"
	got=$(sed -n 's/.*Child process exited with //p' "$dir/said")
	[ $status = 0 ] && want= || want="status $status"
	grep -q "skipped\|ERROR" "$dir/said" && bad=1 || bad=0
	seen=$(tail -n 1 "$dir/count")
	cmp -s "$dir/plain" "$dir/armed" && [ "$got" = "$want" ] && [ $bad = 0 ] && [ "${seen:-0}" -gt 100 ]
	good=$?
	ok $good "$1, $2: as alone, $seen times something to see"
	[ $good != 0 ] || return
	[ "$got" = "$want" ] || echo "# got: $got, want: $want"
	diff "$dir/plain" "$dir/armed" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
	grep -v refused "$dir/said" | head -n 4 | cut -c 1-200 | sed 's/^/# /'
}

test_program() # NAME KIND...
{
	name=$1 why=
	shift
	program "$name" 1 || { skip "$name: $why"; return; }
	sh -c "exec $command" >"$dir/plain" 2>&1
	case $name in rust | go*) every=1009 ;; node | java | openssl) every=211 ;; *) every=7 ;; esac
	for kind; do looked "$name" "$kind" $every; done
}

kinds() # NAME
{
	echo "stacks pointers stacks-at-returns"
	case " $described " in *" $1 "*) echo "variables returns" ;; esac
}

[ $# -gt 0 ] || set -- $described $bare
while :; do
	for name; do test_program "$name" $(kinds "$name"); done
	[ "$(date +%s)" -lt $end ] || break
done
tap_done
