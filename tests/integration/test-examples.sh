#!/bin/sh
# Every script of examples/ on programs of others: each must tell what it is for.
# usage: test-examples.sh UTRACE TRACEES
utrace=$(realpath "$1")
tracees=$(realpath "$2")
here=$(realpath "$(dirname "$0")/../..")
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
server=
run=
trap 'kill $server $run 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export HOME="$dir" XDG_RUNTIME_DIR="$dir" GIT_CONFIG_NOSYSTEM=1 TZ=UTC
python=/usr/bin/python3 # the distribution's: others are shell scripts, or have no marks
used=

has() # PROGRAM...: or the check is skipped
{
	for program; do
		command -v "$program" >/dev/null || {
			skip "$script.stp: $program is not installed"
			return 1
		}
	done
}

# The next checks are about this script.
about() # SCRIPT
{
	script=$1
	used="$used $1"
}

# What it prints has a line for each pattern.
shows() # OUTPUT PATTERN...
{
	out=$1
	shift
	for pattern; do
		like "$out" "$pattern" "$script.stp: /$pattern/"
	done
}

launched() # COMMAND ARGUMENT...: of the script and of utrace
{
	command=$1
	shift
	"$utrace" run "$@" -c "$command" 2>&1 </dev/null
}

# The script runs on a process until work has been done; prints what it said.
attached() # PID WORK ARGUMENT...
{
	pid=$1
	work=$2
	shift 2
	rm -f "$dir/attached.err"
	"$utrace" run -v "$@" -x "$pid" >"$dir/attached" 2>"$dir/attached.err" &
	run=$!
	wait_for 30 grep -q '^utrace: ' "$dir/attached.err" # patched
	sh -c "$work" >"$dir/work" 2>&1
	kill -INT $run
	wait $run
	run=
	cat "$dir/attached"
}

e() { echo "$here/examples/$1.stp"; }

# ---- any program ----------------------------------------------------------------------------------------

cat >work.py <<'END'
import json, gc, os, threading
words = {}
for n in range(3000):
    words.setdefault(str(n % 50), []).append(n)
json.loads(json.dumps(words))
gc.collect()
blocks = [bytearray(1 << 20) for _ in range(40)]
for n in range(7):
    try: int("x")
    except ValueError: pass
def work(): sum(range(200000))
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]
[t.join() for t in threads]
END
work="$python $dir/work.py"

about demo
shows "$(launched "$work" "$(e demo)")" '^PyDict_SetDefault +[0-9]{4}' '^bytes asked from PyObject_Malloc: [0-9]+ calls'
about functions
shows "$(launched "$work" "$(e functions)" 'PyDict_*')" '^PyDict_SetItem +[0-9]+'
about function-time
shows "$(launched "$work" "$(e function-time)" 'PyObject_Call*')" '^PyObject_Call[A-Za-z]* +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+'
about latency
shows "$(launched "$work" "$(e latency)")" '^[0-9]+ calls, [0-9]+ ns on average' '^ +[0-9]+ \|@+ +[0-9]+'
about slow-calls
shows "$(launched "$work" "$(e slow-calls)" PyImport_ImportModuleLevelObject 100)" \
	'python3\([0-9]+\): PyImport_ImportModuleLevelObject\(0x[0-9a-f]+, 0x[0-9a-f]+\) took [0-9]{3,} us' \
	'^[1-9][0-9]* of [0-9]+ calls took 100 us or more'
about rare-slow
shows "$(launched "$work" "$(e rare-slow)" PyImport_ImportModuleLevelObject 'PyDict_Set*' 100)" \
	'^PyImport_ImportModuleLevelObject took [0-9]{3,} us' '^ +[0-9]+ us PyDict_SetItem$'
about sample
shows "$(launched "$python -c 'sum(len(str(i)) for i in range(300000))'" "$(e sample)" 'PyObject_*')" \
	'^[0-9]+ samples, [1-9][0-9]* while running' '^ +[0-9]+% +[0-9]+ [P(]'
about profile
shows "$(launched "$python -c 'sum(len(str(i)) for i in range(1500000))'" "$(e profile)")" '^[1-9][0-9]* samples' \
	'^ +[0-9]+\.[0-9]% +[0-9]+ _PyEval_EvalFrameDefault \[.*python3'
about page-faults
if out=$("$utrace" run -p2 -e 'probe perf.sw.page_faults { exit() }' 2>&1); then
	shows "$(launched "$python -c 'x = [0] * 10000000'" "$(e page-faults)")" '^[1-9][0-9]*00 pages' '^ 0x[0-9a-f]+ : .*\[/.*python3'
else
	skip "no perf events here: page-faults"
fi
about lines
shows "$(launched "$tracees/points 3" "$(e lines)" points.c)" '^ +[0-9]+ leaf@.*points\.c:[0-9]+$'
about memory-growth
shows "$(launched "$work" "$(e memory-growth)")" '^heap: [ 0-9.]+[KM], mapped: [0-9]+ times  *[0-9.]+M, unmapped: [1-9]'
about malloc-sizes
shows "$(launched "$work" "$(e malloc-sizes)")" '^[0-9]+ calls, [0-9]+ bytes, largest [0-9]+' 'python3'
about malloc-callers
shows "$(launched "$work" "$(e malloc-callers)")" '^ +[0-9]+ +[0-9]+ +[0-9]+  [A-Za-z_]+\+0x[0-9a-f]+/0x[0-9a-f]+ \[/'
about malloc-leaks
shows "$(launched "$work" -DMAXMAPENTRIES=300000 "$(e malloc-leaks)")" '^[0-9]+ bytes in [0-9]+ blocks, from' \
	'^ 0x[0-9a-f]+ : .*malloc\+0x0/0x[0-9a-f]+ \[.*libc'
about threads
shows "$(launched "$work" "$(e threads)")" '\+ thread [0-9]+ of python3\(' '- thread [0-9]+ python3 +lived [0-9]+ us' \
	'^3 threads ended'
about libraries
shows "$(launched "$python -c 'import ssl'" "$(e libraries)")" 'python3 +[0-9]+ ".*_ssl.*\.so": opened after [0-9]+ us'
about call-flow
if has bash; then
	out=$(launched 'bash -c "pwd; pwd"' "$(e call-flow)" 'execute_command*')
	shows "$out" '^ +[0-9]+ bash\([0-9]+\): -> execute_command_internal' '^ +[0-9]+ bash\([0-9]+\):  -> execute_command$' \
		'bash\([0-9]+\):  <- execute_command$'
fi
about call-graph
has bash && shows "$(launched 'bash -c "pwd; pwd"' "$(e call-graph)" 'execute_command*')" \
	'^ +1 execute_command_internal -> execute_command$'
about who-writes
if out=$("$utrace" run -e 'probe process.data("last_command_exit_value").write { exit() }' -c 'bash -c true' 2>&1); then
	shows "$(launched 'bash -c "false; false; pwd"' "$(e who-writes)" last_command_exit_value)" '^[1-9][0-9]* times$' \
		'^ 0x[0-9a-f]+ : execute_command_internal\+0x'
else
	skip "no watching of data here: who-writes"
fi
about watch-variable
if has node && "$utrace" list "process(\"$(command -v node)\").function(\"uv__work_submit@*\")" >/dev/null 2>&1; then
	shows "$(launched 'node -e "require(\"fs\").readFile(\".\", () => {})"' "$(e watch-variable)" nthreads 'uv__work_submit')" \
		'^nthreads = 4, was 0, seen at uv__work_submit returns'
else
	skip "watch-variable.stp: no node with debug information of libuv"
fi

# ---- the kernel's side ----------------------------------------------------------------------------------

about opens
shows "$(launched "cat /nonexistent /etc/passwd" "$(e opens)")" '^cat +[0-9]+ -2 \(ENOENT\) +"/nonexistent"' \
	'^cat +[0-9]+ [0-9]+ +"/etc/passwd"'
about syscalls
shows "$(launched "cat /nonexistent /etc/passwd" "$(e syscalls)")" '^openat +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+' \
	'^openat +[0-9]+ failed with ENOENT'
about syscalls-by-thread
shows "$(launched "$work" "$(e syscalls-by-thread)")" '^ +[0-9]+ python3 +[0-9]{3,} +[0-9]+ +[0-9]+ +[0-9]+'
about call-log
shows "$(launched "cat /etc/passwd" "$(e call-log)" openat close)" 'openat\(AT_FDCWD, "/etc/passwd", O_RDONLY\) = [0-9]+ <[0-9]+ us>' \
	'close\([0-9]+\) = 0 '
shows "$(launched "cat /etc/passwd" "$(e call-log)")" 'write\(1, ".*root' 'exit_group\(0\)$'
about io-by-fd
printf 'some text\n' >text
shows "$(launched "cat $dir/text" "$(e io-by-fd)")" "^cat +[0-9]+ +[0-9]+ read +2 +10 +[0-9]+ +[0-9]+  $dir/text" \
	'^cat +[0-9]+ +1 write +1 +10 '
about signals
has bash && shows "$(launched 'bash -c "trap : USR1; kill -USR1 \$\$; :"' "$(e signals)")" 'sets USR1: ' \
	'sends USR1 to process [0-9]+' 'comes back from a handler'
about exec-snoop
shows "$(launched 'sh -c "ls / | wc -l; true"' "$(e exec-snoop)")" '^ +[0-9]+ ms \+ [0-9]+ +of [0-9]+ +ls /' \
	'^ +[0-9]+ ms - [0-9]+ +wc +after [0-9]+ ms'
about process-tree
shows "$(launched 'sh -c "ls / | wc -l; true"' "$(e process-tree)")" '^[0-9]+ sh -c ls' '^  [0-9]+ ls /' '^  [0-9]+ wc -l'
if command -v gcc >/dev/null; then
	echo 'int main(void) { return 0; }' >one.c
	shows "$(launched "gcc -c $dir/one.c -o $dir/one.o" "$(e process-tree)")" '^  [0-9]+ .*cc1 .*one\.c' '^  [0-9]+ as '
fi
about exits
shows "$(launched 'sh -c "cat /nonexistent; exit 3"' "$(e exits)")" '^cat +[0-9]+ leaves with 1; size: ' '^sh +[0-9]+ leaves with 3; .*usr: 0m0\.[0-9]+s'
about wait-times
shows "$(launched 'sh -c "sleep 0.05; true"' "$(e wait-times)")" '^ +[0-9]+ sleep +clock_nanosleep +1 +[0-9]{5,}' \
	'^ +[0-9]+ sh +wait4 +'

# ---- the C library --------------------------------------------------------------------------------------

about errors
shows "$(launched 'ls /nonexistent' "$(e errors)" libc.so.6 statx)" '^ +[12] statx = -1, called from .*/ls'
about environment
shows "$(NO_SUCH=1 launched "env LANG=C ls /" "$(e environment)")" '^ +[0-9]+ [A-Z_]+ is not set' '^ +[0-9]+ [A-Z_]+ = "'
about string-arguments
shows "$(launched 'ls /' "$(e string-arguments)" libc.so.6 getenv 1)" '^[0-9]+ calls of getenv' '^ +[0-9]+ "[A-Z_]+"'
about lock-contention
has node && shows "$(launched 'node -e 1' "$(e lock-contention)")" '^0x[0-9a-f]+ +[0-9]+ +[0-9]+ +[0-9]+' \
	'^nanoseconds to take a mutex' '^ +[0-9]+ \|@'
about resolve
shows "$(launched "$python -c 'import socket; socket.getaddrinfo(\"localhost\", 80)'" "$(e resolve)")" \
	'^python3\([0-9]+\) localhost:80 found in [0-9]+ us'
about connects
shows "$(launched "$python -c 'import socket; s = socket.socket(); s.connect_ex((\"127.0.0.1\", 1))'" "$(e connects)")" \
	'^python3\([0-9]+\) connect to 127\.0\.0\.1:1: -111 \(ECONNREFUSED\) after [0-9]+ us'
about compression
has git && git init -q "$dir/repository" && (cd repository && echo text >file && git add file &&
	git -c user.name=n -c user.email=e commit -q -m text) &&
	shows "$(launched "git -C $dir/repository log -1 -p" "$(e compression)")" '^inflate: [0-9]+ calls, [0-9]+ bytes in, [0-9]+ us'

# ---- languages ------------------------------------------------------------------------------------------

if readelf -n "$python" 2>/dev/null | grep -q stapsdt; then
	about python-imports
	shows "$(launched "$work" "$(e python-imports)")" '^ +[0-9]+ us json$'
	about python-functions
	shows "$(launched "$work" -DMAXMAPENTRIES=20000 "$(e python-functions)")" '^ +1  dumps in .*json/__init__\.py|^ +[0-9]+  find_spec in '
	about python-gc
	shows "$(launched "$work" "$(e python-gc)")" '^python3\([0-9]+\) generation 2: [0-9]+ objects in [0-9]+ us' \
		'^generation 2: [0-9]+ collections'
else
	for name in python-imports python-functions python-gc; do
		about $name
		skip "$name.stp: this python3 has no marks"
	done
fi
about python-exceptions
shows "$(launched "$work" "$(e python-exceptions)")" '^ +[0-9]+ ValueError$'
about perl-operations
has perl && shows "$(launched "perl -e 'print 1 for 1..50'" "$(e perl-operations)")" '^[0-9]+ operations' '^ +50 print$'
about node-gc
has node && shows "$(launched 'node -e "for (let i = 0, a; i < 1e6; i++) a = [i, a && a[0]]"' "$(e node-gc)")" \
	'^node\([0-9]+\) scavenge: [0-9]+ us' '^microseconds of [0-9]+ collections of kind 0'
about jvm
jvm=
for library in /usr/lib/jvm/*/lib/server/libjvm.so; do
	[ -e "$library" ] && readelf -n "$library" 2>/dev/null | grep -q hotspot && jvm=$library
done
if [ "$jvm" ]; then
	shows "$(launched "${jvm%/lib/server/libjvm.so}/bin/java -version" "$(e jvm)" "$jvm")" '^class java/lang/Object' \
		'^thread Finalizer' '^[0-9]{3,} classes loaded'
else
	skip "jvm.stp: no java with marks"
fi
about go-functions
if [ -x "$tracees/points-go" ]; then
	shows "$(launched "$tracees/points-go 20" "$(e go-functions)")" '^[0-9]+ goroutines started' '^ +10 main\.\(\*thing\)\.add' \
		'^ +168 main\.deep'
else
	skip "go-functions.stp: no go when the tests were built"
fi
about exceptions
if [ -x "$tracees/throwing" ]; then
	shows "$(launched "$tracees/throwing 300" "$(e exceptions)")" '^100 times an exception was caught' \
		'^ +100 St13runtime_error thrown from thrower'
else
	skip "exceptions.stp: no C++ compiler when the tests were built"
fi

# ---- shells, databases, servers -------------------------------------------------------------------------

about bash-commands
has bash && shows "$(launched 'bash -c "cd /; ls >/dev/null; pwd"' "$(e bash-commands)")" \
	'^[0-9]+ runs "cd /; ls >/dev/null; pwd"' '^[0-9]+ starts ".*/ls"'
about readline
if has sqlite3 script && ldd "$(command -v sqlite3)" | grep -q libreadline.so.8; then
	shows "$(printf 'select 41 + 1;\n.quit\n' |
		"$utrace" run "$(e readline)" -c "script -qec 'sqlite3 :memory:' /dev/null" 2>&1 | tr -d '\r')" \
		'^sqlite3 +[0-9]+ sqlite> select 41 \+ 1;$'
fi
about sqlite-statements
has sqlite3 && shows "$(launched 'sqlite3 :memory: "create table t(a); insert into t values (1),(2); select a from t;"' \
	"$(e sqlite-statements)")" '^[0-9]+ us, 2 rows: select a from t;'
about postgres-queries
postgres=$(ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null | head -n 1)
if [ -x "$postgres" ] && [ "$(id -u)" = 0 ] && has setpriv; then
	chmod 711 "$dir"
	mkdir "$dir/data" && chown nobody "$dir/data"
	as="setpriv --reuid=nobody --regid=nogroup --clear-groups"
	$as "${postgres%postgres}initdb" -D "$dir/data" --no-sync >/dev/null 2>&1
	shows "$(echo 'select 41 + 1 as answer;' | "$utrace" run "$(e postgres-queries)" "$postgres" \
		-c "$as $postgres --single -D $dir/data postgres" 2>&1)" '[0-9]+ [0-9]+ us: select 41 \+ 1 as answer;' \
		'^microseconds of [1-9][0-9]* queries'
else
	skip "postgres-queries.stp: no postgres, or not root: it runs as another user"
fi
about redis-commands
if has redis-server redis-cli; then
	redis-server --port 0 --unixsocket "$dir/sock" --save '' --dir "$dir" >/dev/null 2>&1 &
	server=$!
	wait_for 30 redis-cli -s "$dir/sock" ping
	work="for i in 1 2 3 4 5; do redis-cli -s $dir/sock set key \$i; redis-cli -s $dir/sock get key; done"
	shows "$(attached $server "$work" "$(e redis-commands)")" '^set +5 +[0-9]+ +[0-9]+' '^get +5 '
	about metrics
	"$utrace" run -m web "$(e metrics)" call -x $server >"$dir/out" 2>&1 &
	run=$!
	wait_for 30 test -e "$dir/utrace/web/metrics"
	called() { redis-cli -s "$dir/sock" get key >/dev/null; grep -q calls.function "$dir/utrace/web/metrics"; }
	wait_for 20 called
	shows "$(cat "$dir/utrace/web/metrics")" '^calls\{function="call"\} [0-9]+' '^average_ns\{function="call"\} [0-9]+'
	kill -INT $run
	wait $run
	run=
	# attached, too
	script=syscalls
	shows "$(attached $server "$work" "$(e syscalls)")" '^epoll_wait +[0-9]+ '
	script=wait-times
	shows "$(attached $server "$work" "$(e wait-times)")" '^ +[0-9]+ redis-server +epoll_wait +[0-9]+ '
	script=io-by-fd
	shows "$(attached $server "$work" "$(e io-by-fd)")" '^redis-server +[0-9]+ +[0-9]+ write +[0-9]+ '
	script=connects
	shows "$(attached $server "$work" "$(e connects)")" '^redis-server\([0-9]+\) accept4 accepted: [0-9]+ after [0-9]+ us'
	is "$(redis-cli -s "$dir/sock" ping)" "PONG" "the server answers"
	kill $server
	wait $server
	server=
fi
about metrics
about tls-plaintext
if has openssl curl && ldd "$(command -v curl)" | grep -q libssl.so.3; then
	openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost >/dev/null 2>&1
	port=$((20000 + $$ % 20000))
	openssl s_server -quiet -accept $port -www -key key.pem -cert cert.pem >/dev/null 2>&1 &
	server=$!
	wait_for 30 curl -sk "https://localhost:$port/"
	shows "$(launched "curl -sk --http1.1 -o $dir/page https://localhost:$port/" "$(e tls-plaintext)")" \
		'^curl\([0-9]+\) sends [0-9]+ bytes: "GET / HTTP/1.1' '^curl\([0-9]+\) receives [0-9]+ bytes: "HTTP/1.0 200 ok'
	kill $server
	wait $server 2>/dev/null
	server=
fi

# ---- none is left out, in the index neither -------------------------------------------------------------

missing=
for path in "$here"/examples/*.stp; do
	name=$(basename "$path" .stp)
	case " $used " in *" $name "*) ;; *) missing="$missing $name" ;; esac
	grep -q "]($name.stp)" "$here/examples/README.md" || missing="$missing $name(index)"
	sed -n 2,12p "$path" | grep -q "^# *utrace run .*examples/$name.stp" || [ "$name" = demo ] || missing="$missing $name(usage)"
done
is "$missing" "" "every script has a test, a usage line and a line in README.md"
tap_done
