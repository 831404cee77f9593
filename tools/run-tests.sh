#!/bin/sh
# Runs every test of a build directory and ends with one line that counts single checks:
# "N passed, N failed[, N skipped]".  TAP tests count each row, others count as one.
set -u
build=$1
log=$build/meson-logs/testlog.json
ninja -C "$build" >"$build/build.log" 2>&1 || {
	tail -n 30 "$build/build.log"
	echo "0 passed, 1 failed"
	exit 1
}
rm -f "$log"
meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier "${TEST_TIMEOUT_FACTOR:-3}" \
	${TEST_SUITES:+$(printf -- '--suite %s ' $TEST_SUITES)}
exec python3 tools/count-tests.py "$log"
