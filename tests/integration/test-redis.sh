#!/bin/sh
# A third-party server under load: visited again and again, no request fails, its text is what it was.
# usage: test-redis.sh UTRACE TRACEES;  ROUNDS and SECONDS_EACH make it longer
utrace=$1
. "$(dirname "$0")/../lib/tap.sh"
rounds=${ROUNDS:-8}
each=${SECONDS_EACH:-1}
if ! command -v redis-server >/dev/null || ! command -v redis-benchmark >/dev/null; then
	skip "redis-server and redis-benchmark are not installed"
	tap_done
fi
dir=$(mktemp -d)
trap 'kill $server $load 2>/dev/null; rm -rf "$dir"' EXIT
load=
redis-server --port 0 --unixsocket "$dir/sock" --save '' --dir "$dir" >"$dir/log" 2>&1 &
server=$!
wait_for 30 redis-cli -s "$dir/sock" ping
before=$(grep -E '^(Sig|Threads|NoNewPrivs)' /proc/$server/status | grep -v SigQ)
fds=$(ls /proc/$server/fd | wc -l)
redis-benchmark -s "$dir/sock" -q -l -t set,get,lpush,lrange_100 -c 8 -n 20000 >"$dir/load" 2>&1 &
load=$!

hits=0
round=0
while [ $round -lt "$rounds" ]; do
	out=$("$utrace" run -T "$each" -e 'global n, sizes
		probe process("/usr/bin/redis-server").function("*").call ? { n++ }
		probe process("/usr/lib/x86_64-linux-gnu/libc.so.6").function("read").return,
		      process("/usr/lib/x86_64-linux-gnu/libc.so.6").function("write").return { n++ }
		probe process("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2").function("malloc") ?,
		      process("/usr/lib/x86_64-linux-gnu/libc.so.6").function("malloc") { sizes <<< ulong_arg(1) }
		probe end { printf("n=%d mallocs=%d\n", n, @count(sizes)) }' -x $server 2>>"$dir/err")
	case $out in
	n=[1-9]*\ mallocs=[1-9]*) hits=$((hits + 1)) ;;
	*) echo "# round $round: $out" ;;
	esac
	round=$((round + 1))
done
is "$hits" "$rounds" "every visit saw calls"
is "$(grep -v '^WARNING: probe .* refused' "$dir/err" | head -n 5)" "" "nothing on standard error"
is "$(text_state $server)" "same" "text and mappings as before"
is "$(grep -E '^(Sig|Threads|NoNewPrivs)' /proc/$server/status | grep -v SigQ)" "$before" "signals, threads as before"
kill $load 2>/dev/null
wait $load 2>/dev/null
is "$(redis-cli -s "$dir/sock" ping)" "PONG" "the server answers"
# it closes those of its clients when it sees that they are gone
same_fds() { [ "$(ls /proc/$server/fd | wc -l)" = "$fds" ]; }
wait_for 20 same_fds
ok $? "no descriptor was left open: $(ls /proc/$server/fd | wc -l) of $fds"
unlike "$(tr '\r' '\n' <"$dir/load")" "[Ee]rror|failed|reset" "no request failed"
tap_done
