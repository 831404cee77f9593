#!/bin/sh
# make torture: every program of this folder, one after the other; the last line is "N passed, N failed[, N skipped]".
# usage: run.sh BUILD [NAME...]     DURATION: seconds for each, 60 unless told
#
# A program is NAME.sh here.  It is called with the build directory, finds DURATION in the environment, goes on
# for about that long, prints TAP (tests/lib/tap.sh), and leaves nothing behind.  What it makes up by chance it
# prints a seed for.
set -u
build=$(cd "$1" && pwd) || exit 2
shift
here=$(cd "$(dirname "$0")" && pwd)
export DURATION="${DURATION:-60}"
out=$(mktemp -d "${TMPDIR:-/tmp}/utrace-torture.XXXXXX")
trap 'rm -rf "$out"' EXIT
trap 'exit 1' INT TERM
passed=0 failed=0 skipped=0

count() # PATTERN
{
	grep -Ec -- "$1" "$out/tap"
}

judge() # NAME STATUS
{
	good=$(count '^ok ') bad=$(count '^not ok ') left=$(count '^(ok .*|1\.\.0 )# SKIP')
	good=$((good - $(count '^ok .*# SKIP')))
	# one that dies says so by its status only
	[ "$2" = 0 ] || [ "$bad" != 0 ] || bad=1
	[ "$good$bad$left" != 000 ] || bad=1
	[ "$bad" = 0 ] || echo "FAILED: $1 ($bad)"
	passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + left))
}

[ $# -gt 0 ] || set -- $(cd "$here" && ls ./*.sh | sed 's,^\./,,; s,\.sh$,,' | grep -vx -e run -e table)
for name; do
	echo "# $name: $DURATION s"
	{
		nice sh "$here/$name.sh" "$build" 2>&1
		echo $? >"$out/status"
	} | tee "$out/tap"
	judge "$name" "$(cat "$out/status")"
done
printf '%s passed, %s failed' "$passed" "$failed"
[ "$skipped" = 0 ] || printf ', %s skipped' "$skipped"
echo
[ "$failed" = 0 ]
