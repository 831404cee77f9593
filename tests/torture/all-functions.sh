#!/bin/sh
# Programs with all of their functions armed do what they do alone: same output, same status.
# usage: all-functions.sh BUILD      DURATION: seconds to go on for (60)
utrace=$1/utrace
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
end=$(($(date +%s) + ${DURATION:-60}))

# Each armed run also counts: an armed program that is never hit proves nothing.
same() # NAME WHERE COMMAND...
{
	name=$1 where=$2
	shift 2
	rm -f "$dir/count"
	command -v "$1" >/dev/null || { skip "$name: no $1"; return; }
	"$@" >"$dir/plain" 2>&1
	want=$?
	"$utrace" run -o "$dir/count" -e "global n probe $where.function(\"*\") { n++ }
		probe end { printf(\"%d\\n\", n) }" \
		-c "$(for word; do printf "'%s' " "$word"; done)" >"$dir/armed" 2>"$dir/said"
	cmp -s "$dir/plain" "$dir/armed" && [ "$(tail -n 1 "$dir/count")" -gt 100 ] && [ $want = 0 ]
	ok $? "$name: same output, $(tail -n 1 "$dir/count") hits"
}

while :; do
	same bash process bash -c 'f() { [ $1 = 0 ] || f $(($1 - 1)); }; f 200; for i in $(seq 300); do x=$(echo $i); done; echo $x'
	same sqlite3 'process.library("libsqlite3.so*")' sqlite3 :memory: 'create table t(a,b); with recursive n(i) as (select 1 union all select i+1 from n
		where i<20000) insert into t select i,i*i%97 from n; create index x on t(b); select sum(a),b from t group by b'
	same openssl 'process.library("libcrypto.so*")' openssl enc -aes-256-cbc -pbkdf2 -pass pass:a -S 0102030405060708 -a -in /bin/true
	same libc 'process.library("libc.so*")' bash -c 'for i in $(seq 50); do x=$(echo $i | tr 0-9 a-j); done; echo $x'
	[ "$(date +%s)" -lt $end ] || break
done
tap_done
