#!/bin/sh
# The same work as an ordinary user, and what such a user must be told.   usage: test-user.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
chmod 755 "$dir"
trap 'kill $other $own 2>/dev/null; rm -rf "$dir"' EXIT
other=
own=
if [ "$(id -u)" = 0 ]; then
	if ! setpriv --reuid=nobody --regid=nogroup --clear-groups test -x "$utrace" 2>/dev/null ||
		! setpriv --reuid=nobody --regid=nogroup --clear-groups test -x "$tracees/counter" 2>/dev/null; then
		cp "$utrace" "$tracees/counter" "$tracees/sleeper" "$dir/" && cp -r "$(dirname "$0")/../../tapset" "$dir/tapset"
		utrace=$dir/utrace
		tracees=$dir
		tapset="--tapset $dir/tapset"
	fi
	as_user="setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all"
else
	as_user=
fi
out=$($as_user "$utrace" run $tapset -e 'global n probe process.function("branchy") { n++ } probe end { printf("n=%d\n", n) }' \
	-c "$tracees/counter 4 10000" 2>"$dir/err")
like "$out" "^n=40000$" "an ordinary user launches"
$as_user "$tracees/sleeper" >/dev/null &
own=$!
sleep 0.3
yama=$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)
if [ "$yama" = 0 ]; then
	out=$($as_user "$utrace" run $tapset -e 'probe process.function("tick") { println("hit"); exit() }' -x $own 2>"$dir/err")
	is "$out" "hit" "an ordinary user attaches to a process of their own"
	is "$(text_state $own)" "same" "... and leaves it as it was"
else
	skip "kernel.yama.ptrace_scope is $yama: attaching needs root"
fi
if [ "$(id -u)" = 0 ]; then
	"$tracees/sleeper" >/dev/null &
	other=$!
	sleep 0.3
	$as_user "$utrace" run $tapset -e 'probe process.function("tick") { println("hit"); exit() }' -x $other \
		>"$dir/out" 2>"$dir/err"
	is "$?" "1" "another user's process: status 1"
	like "$(cat "$dir/err")" "^error: .*it belongs to root, you are nobody" "... is told"
	like "$(cat "$dir/err")" "^hint: run as that user or as root" "... and what helps"
else
	skip "not root: no second user to try"
fi
tap_done
