#!/bin/sh
# Attaching and detaching against threads that end at any moment, as it is and under AddressSanitizer and
# ThreadSanitizer: 100,000 attaches each at least, and for a third of the time; every second round as an ordinary
# user, when called by root.   usage: engine-races.sh BUILD
here=$(dirname "$0")
. "$here/../lib/tap.sh"
build=$1
source=$(cd "$here/../.." && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Only what is needed of a sanitized build: the library, the test, its program.
sanitized() # FOLDER SANITIZERS
{
	[ -d "$1" ] || meson setup "$1" "$source" --buildtype=debugoptimized -Db_sanitize="$2" -Db_lundef=false \
		-Dcodegen=false >"$log" 2>&1 || return 1
	ninja -C "$1" tests/integration/test-engine-races tests/tracees/churn \
		$(printf ' tests/integration/test-engine-%s' $others) >"$log" 2>&1
}
others="attach hazards launch life signals stops syscalls wakeups"

# What the library does for several threads of the tracer's program is in these, too.
rest() # BUILD LABEL
{
	for name in $others; do
		"$1/tests/integration/test-engine-$name" >"$log" 2>&1
		status=$?
		[ "$status" = 0 ] || grep -v '^ok' "$log" | sed 's/^/# /'
		ok "$status" "$2: test-engine-$name"
	done
}

race() # BUILD ATTACHES LABEL: rounds until there are enough and its time is over; the first that fails ends it
{
	end=$(($(date +%s) + DURATION / 3)) rounds=0 status=0
	while [ "$status" = 0 ] && { [ $((rounds * $2)) -lt 100000 ] || [ "$(date +%s)" -lt "$end" ]; }; do
		user=
		[ $((rounds % 2)) = 0 ] || [ "$(id -u)" != 0 ] || user="sh $here/../lib/as-user.sh"
		$user "$1/tests/integration/test-engine-races" "$1/tests/tracees" "$2" >"$log" 2>&1
		status=$?
		rounds=$((rounds + 1))
	done
	[ "$status" = 0 ] || sed 's/^/# /' "$log"
	ok "$status" "$3: $rounds rounds of $2 attaches"
}

race "$build" 20000 "as it is"
for kind in address,undefined thread; do
	folder=$build-torture-${kind%%,*}
	if sanitized "$folder" "$kind"; then
		race "$folder" 10000 "$kind sanitizer"
		rest "$folder" "$kind sanitizer"
	else
		sed 's/^/# /' "$log" | tail -n 20
		skip "no build with -Db_sanitize=$kind"
	fi
done
tap_done
