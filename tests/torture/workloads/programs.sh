# SPDX-License-Identifier: MIT
# Programs of others and work for them: source it after setting $dir, a directory that everybody may enter.
#
#   program NAME ROUNDS     sets $file (what is probed), $command and $status (what it ends with); or false and $why
#   server NAME             sets $file and starts it: $server is its process; or false and $why
#   server_load NAME        work for it; prints what must be the same each time
#   server_stop
#
# as: words before each command that runs as the user under test; empty: as ourselves
workloads=$(cd "$(dirname "$0")/workloads" && pwd)
as= why= server=
nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all --bounding-set=-all"
all_programs="bash sqlite3 python3 node java go go-static rust cc1 openssl"
all_servers="redis nginx postgres"

need() # PROGRAM
{
	found=$(command -v "$1") || {
		why="no $1 here"
		return 1
	}
}

library_of() # PROGRAM NAME: the file of a library that it is linked with
{
	ldd "$(command -v "$1")" | sed -n "s,.*$2.* => \([^ ]*\) .*,\1,p"
}

compile() # OUTPUT COMMAND...: once
{
	[ -e "$1" ] && return
	shift
	"$@" >"$dir/compiler" 2>&1 || {
		why="does not compile: $(head -n 1 "$dir/compiler")"
		return 1
	}
}

program() # NAME ROUNDS
{
	status=7
	case $1 in
	bash)
		need bash && file=$found status=0
		command="bash -c 'f() { [ \$1 = 0 ] || f \$((\$1 - 1)); }; for k in \$(seq $2); do f 200; for i in \$(seq 100); do x=\$(echo \$i | tr 0-9 a-j); done; done; trap \"echo bye\" EXIT; set -e; (exit 3) || echo \$?\$x'" ;;
	sqlite3)
		need sqlite3 && file=$(library_of sqlite3 libsqlite3) status=0
		# by itself, not at the end of a pipe: it is what visits attach to
		for round in $(seq "$2"); do cat "$workloads/work.sql"; done >"$dir/work-$2.sql"
		command="$found :memory: '.read $dir/work-$2.sql'" ;;
	python3)
		# a wrapper of version managers is no program
		found=/usr/bin/python3
		[ -x "$found" ] || need python3
		file=$(readlink -f "$found")
		cp "$workloads/work.py" "$dir/"
		command="$file $dir/work.py $2" ;;
	node)
		need node && file=$(readlink -f "$found") || return
		cp "$workloads/work.js" "$dir/"
		command="$file $dir/work.js $2" ;;
	java)
		need java && need javac || return
		found=$(readlink -f "$(command -v java)")
		file=${found%/bin/java}/lib/server/libjvm.so
		compile "$dir/Work.class" javac -d "$dir" "$workloads/Work.java" || return
		command="$found -Xmx256m -cp $dir Work $2" ;;
	go | go-static)
		need go || return
		file=$dir/work-$1 cgo=1
		[ $1 = go ] || cgo=0
		compile "$file" env CGO_ENABLED=$cgo GO111MODULE=off GOCACHE="$dir/go-cache" \
			go build -o "$file" "$workloads/work.go" || return
		command="$file $2" ;;
	rust)
		need rustc || return
		file=$dir/work-rust
		compile "$file" rustc -O -g -o "$file" "$workloads/work.rs" || return
		command="$file $2" ;;
	cc1)
		need gcc && file=$(readlink -f "$(gcc -print-prog-name=cc1)") || return
		[ -x "$file" ] || { why="no cc1 here"; return 1; }
		[ -e "$dir/source.i" ] || make_source >"$dir/source.i"
		status=0
		command="sh -c 'for i in \$(seq $2); do $file -quiet -O2 -fpreprocessed $dir/source.i -o -; done'" ;;
	openssl)
		need openssl && file=$(library_of openssl libcrypto)
		cp "$workloads/work-openssl.sh" "$dir/"
		command="sh $dir/work-openssl.sh $2" ;;
	*) other "$@" ;;
	esac && [ -n "$file" ]
}

. "$workloads/source.sh"
. "$workloads/others.sh"

# ---- servers

postgres_run() { $nobody env PATH="$postgres_bin:$PATH" PGHOST="$dir" "$@"; }

server_postgres()
{
	postgres_bin=$(pg_config --bindir 2>/dev/null) && [ -x "$postgres_bin/initdb" ] || need initdb || return
	[ "$(id -u)" = 0 ] || { why="not root: cannot become a user for the server"; return 1; }
	file=$postgres_bin/postgres
	mkdir -m 777 "$dir/pg" && chown nobody "$dir/pg"
	postgres_run initdb -D "$dir/pg" -A trust >"$dir/initdb" 2>&1 || { why="initdb: $(tail -n 1 "$dir/initdb")"; return 1; }
	$nobody "$file" -D "$dir/pg" -k "$dir" -h '' -c fsync=off >"$dir/server" 2>&1 &
	server=$!
	wait_for 30 postgres_run pg_isready && postgres_run createdb -U nobody test 2>"$dir/createdb"
	postgres_run pgbench -U nobody -i -s 1 test >"$dir/pgbench" 2>&1
}

load_postgres()
{
	postgres_run psql -U nobody -Atqc "truncate pgbench_history; update pgbench_accounts set abalance=0 where abalance<>0;
		update pgbench_tellers set tbalance=0; update pgbench_branches set bbalance=0" test
	postgres_run pgbench -U nobody -n -c 4 -j 2 -t 200 test 2>&1 | grep "actually processed"
	# whether workers help is the planner's mood
	postgres_run psql -U nobody -At test 2>&1 <<'END' | grep -vx "CONTEXT:  parallel worker"
select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts), sum(delta) = (select sum(tbalance) from pgbench_tellers),
	sum(delta) = (select sum(bbalance) from pgbench_branches) from pgbench_history;
do $$ begin for i in 1..2000 loop begin perform 1 / (i % 2); exception when division_by_zero then null; end; end loop; end $$;
select sum(a.aid * b.aid % 97) from pgbench_accounts a join pgbench_accounts b on a.aid = b.aid / 2;
select 1 / 0;
END
}

server_redis()
{
	need redis-server && need redis-benchmark && file=$(readlink -f "$(command -v redis-server)") || return
	cd "$dir" && $as redis-server --port 0 --unixsocket "$dir/redis.sock" --unixsocketperm 777 --save "" --dir "$dir" >"$dir/server" 2>&1 &
	server=$!
	wait_for 10 redis-cli -s "$dir/redis.sock" ping
}

load_redis()
{
	redis-cli -s "$dir/redis.sock" flushall
	redis-benchmark -s "$dir/redis.sock" -n 10000 -c 20 -q -t set,get,incr,lpush,zadd >"$dir/load" 2>&1 || echo "benchmark failed"
	for i in $(seq 500); do echo "set k$i $i"; done | redis-cli -s "$dir/redis.sock" | sort | uniq -c
	for i in $(seq 500); do echo "get k$i"; done | redis-cli -s "$dir/redis.sock" | cksum
	redis-cli -s "$dir/redis.sock" --raw eval 'local s = 0 for i = 1, 500 do s = s + redis.call("get", "k" .. i) end return s' 0
	redis-cli -s "$dir/redis.sock" bgsave
	saved() { redis-cli -s "$dir/redis.sock" info persistence | tr -d '\r' | grep -qx 'rdb_bgsave_in_progress:0'; }
	wait_for 60 saved || echo "never saved"
	redis-cli -s "$dir/redis.sock" info persistence | tr -d '\r' | grep bgsave_status
}

server_nginx()
{
	need nginx && need ab && file=$(readlink -f "$(command -v nginx)") || return
	port=$((20000 + $$ % 20000))
	mkdir -p "$dir/www" && seq 5000 >"$dir/www/index.html"
	cat >"$dir/nginx.conf" <<END
worker_processes 1;
daemon off;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { worker_connections 256; }
http { access_log off; gzip on; client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3;
uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5; server { listen 127.0.0.1:$port; root $dir/www; } }
END
	$as nginx -c "$dir/nginx.conf" 2>"$dir/server" &
	server=$!
	listening() { ab -n 1 "http://127.0.0.1:$port/"; }
	wait_for 10 listening
}

load_nginx()
{
	for words in "-k" "" "-H Accept-Encoding:gzip"; do
		ab -n 1000 -c 10 $words "http://127.0.0.1:$port/" 2>&1 | grep -E "^(Complete|Failed|Document Length|Non-2xx)"
	done
	ab -n 100 -c 10 "http://127.0.0.1:$port/nothing" 2>&1 | grep -E "^(Complete|Failed|Non-2xx)"
}

server() # NAME
{
	server=
	"server_$1" || { [ -n "$why" ] || why="it did not start: $(tail -n 1 "$dir/server")"; return 1; }
}

server_load() { "load_$1"; }

server_stop()
{
	[ -z "$server" ] || kill -INT $server 2>/dev/null
	[ -z "$server" ] || wait $server 2>/dev/null
	server=
	rm -rf "$dir/pg" "$dir"/t[1-5] "$dir"/nginx.*
}
