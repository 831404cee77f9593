# SPDX-License-Identifier: MIT
# TAP for shell tests: source it, call the checks, end with `tap_done`.
tap_count=0
tap_failed=0

ok() # STATUS NAME
{
	tap_count=$((tap_count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tap_count - $2"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_count - $2"
		# what the program said, where the test keeps it
		[ -z "${dir-}" ] || [ ! -s "$dir/err" ] || tail -n 20 "$dir/err" | sed 's/^/# err:  /'
	fi
}

skip() # REASON
{
	tap_count=$((tap_count + 1))
	echo "ok $tap_count # SKIP $1"
}

is() # GOT WANT NAME
{
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "$1" | sed 's/^/# got:  /'
		printf '%s\n' "$2" | sed 's/^/# want: /'
	fi
}

like() # GOT PATTERN NAME (extended regular expression, any line)
{
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "$1" | head -n 20 | sed 's/^/# got:  /'
		echo "# want: $2"
	fi
}

unlike() # GOT PATTERN NAME
{
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		ok 1 "$3"
		printf '%s\n' "$1" | head -n 20 | sed 's/^/# got:  /'
	else
		ok 0 "$3"
	fi
}

wait_for() # SECONDS COMMAND...: until the command succeeds
{
	left=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.05
	done
}

# The text of a program in a process, compared with its file: prints "same" or what differs.
text_state() # PID PATH
{
	python3 "$(dirname "$0")/../lib/text-state.py" "$1" "$2"
}

tap_done()
{
	echo "1..$tap_count"
	[ "$tap_failed" = 0 ]
	exit
}
