#!/bin/sh
# The example engines: alone, two on one process, on a server under load, on a thousand threads, and killed.
# usage: test-engine-examples.sh EXAMPLES TRACEES
examples=$1
tracees=$2
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
server= many= tracer=
trap 'kill -9 $server $many $tracer 2>/dev/null; rm -rf "$dir"' EXIT
ulimit -c 0

# ---- trace-calls
out=$("$examples/example-trace-calls" -o "$dir/calls" cat /etc/hostname | cat)
is "$out" "$(cat /etc/hostname)" "trace-calls: the program does what it does"
like "$(cat "$dir/calls")" '^[0-9]+ openat\(0xffffff9c, .* = 0x[0-9a-f]+$' "calls, arguments and results are written"
like "$(cat "$dir/calls")" '^[0-9]+ exit_group\(0, .*\) = \?$' "one that does not return, too"
like "$(cat "$dir/calls")" '^[0-9]+ access\(.*\) = -1 \(No such file or directory\)$' "errors by their names"
if command -v strace >/dev/null 2>&1; then
	# what a program asks for itself; the loader's calls depend on nothing else either
	strace -f -o "$dir/strace" cat /etc/hostname 2>&1 | cat >"$dir/out"
	sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$dir/strace" | sed 1d >"$dir/theirs"
	sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$dir/calls" >"$dir/ours"
	is "$(sed '1{/^execve$/d}' "$dir/ours")" "$(cat "$dir/theirs")" "the same calls as strace"
else
	skip "no strace"
fi
"$examples/example-trace-calls" -o "$dir/calls" sh -c 'exit 5'
is $? 5 "the exit status is the program's"
out=$("$examples/example-trace-calls" /nonexistent 2>&1)
is "$? $out" "1 error: cannot run /nonexistent: No such file or directory" "a command that is not there"
"$examples/example-trace-calls" >"$dir/out" 2>&1
is $? 2 "no command: usage"
like "$("$examples/example-trace-calls" -p 12x 2>&1)" '^error: -p 12x: not the number of a process$' "no number of a process"

# ---- time-calls
"$examples/example-time-calls" -o "$dir/times" sh -c 'sleep 0.3; cat /nonexistent; exit 4' 2>"$dir/err"
is $? 4 "time-calls: the exit status is the program's"
slept=$(sed -nE 's/^ *([0-9]+) +0\.([0-9]{3}).* (clock_nanosleep|nanosleep)$/\2/p' "$dir/times")
like "$slept" '^([3-9][0-9][0-9])$' "0.3 seconds in sleep"
like "$(cat "$dir/times")" '^ *[0-9]+ +0\.(2[89]|[3-9])[0-9]* +[1-9][0-9]* +[0-9]+ wait4$' "its parent has waited as long"
like "$(cat "$dir/times")" '^ *[0-9]+ +0\.[0-9]* +[0-9]+ +[1-9][0-9]* openat$' "errors are counted"
"$examples/example-trace-calls" -o "$dir/calls" cat /etc/hostname >"$dir/out"
"$examples/example-time-calls" -o "$dir/times" cat /etc/hostname >"$dir/out"
# exec began before anybody looked
is "$(awk '{ print $4, $5 }' "$dir/times" | sed 's/^[0-9]* //' | sort)" \
	"$(sed -n '/ = ?$/d; s/^[0-9]* \([a-z0-9_]*\)(.*/\1/p' "$dir/calls" | sort -u)" "the calls that trace-calls writes, if they return"

# ---- inject-faults
out=$("$examples/example-inject-faults" -e read=EIO -n 2 dd if=/dev/zero of=/dev/null bs=10 count=50 2>&1)
like "$out" 'Input/output error' "inject-faults: a read fails with the error that was asked for"
out=$("$examples/example-inject-faults" -e getppid=EPERM sh -c 'echo still here')
is "$out" "still here" "calls that nobody makes fail nowhere"
out=$("$examples/example-inject-faults" -e nosuch=EIO true 2>&1)
like "$out" 'no such system call' "an unknown call is refused"

# ---- read-only
out=$("$examples/example-read-only" sh -c "cat /etc/hostname; echo x >'$dir/new'; mkdir '$dir/folder'; rm -f '$dir/calls'; exit 3" 2>"$dir/err")
is "$? $out" "3 $(cat /etc/hostname)" "read-only: reading works"
[ ! -e "$dir/new" ] && [ ! -e "$dir/folder" ] && [ -e "$dir/calls" ]
ok $? "nothing was created and nothing removed, by children neither"
like "$(cat "$dir/err")" '^read-only: [0-9]+ mkdir: Read-only file system$' "what was aborted is told"

# ---- report-crashes, alone and beside trace-calls
"$examples/example-report-crashes" -c "$dir/crash" "$tracees/crashing"
is $? 139 "report-crashes: the program dies as it would"
out=$(cat "$dir/crash")
like "$out" 'signal 11 \(Segmentation fault\) at 0x10$' "the signal and its address"
like "$out" '^  rip   [0-9a-f]{16}  rsp   [0-9a-f]{16}' "registers"
is "$(sed -n 's/^  0x[0-9a-f]* \([a-z_]*\) (.*crashing)$/\1/p' "$dir/crash" | tr '\n' ' ')" \
	"write_there call_it main _start " "the backtrace"
"$examples/example-calls-and-crashes" -o "$dir/calls" -c "$dir/crash" "$tracees/crashing"
is $? 139 "two engines on one process: the same end"
like "$(cat "$dir/crash")" ' call_it ' "the crash is reported"
like "$(cat "$dir/calls")" '^[0-9]+ mmap\(' "and the calls are"
"$examples/example-calls-and-crashes" -o "$dir/calls" -c "$dir/crash" sleep 0.1
is "$?$(cat "$dir/crash")" 0 "without a crash nothing is reported"

# ---- a server under load
attach() # PID
{
	rm -f "$dir/calls"
	"$examples/example-calls-and-crashes" -o "$dir/calls" -c "$dir/crash" -p "$1" 2>"$dir/err" &
	tracer=$!
	wait_for 60 test -s "$dir/calls"
}

cp "$tracees/many-threads" "$dir/file"
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$dir" >"$dir/server" 2>&1 &
server=$!
wait_for 60 grep -q 'port [0-9]' "$dir/server"
port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$dir/server")
load()
{
	python3 "$here/../lib/http-load.py" "$port" "$dir/file" "$1"
}
load 200 >"$dir/load" 2>&1 &
client=$!
rm -f "$dir/calls"
attach $server
is "$(load 50)" "50 of 50" "both engines on a web server: it answers"
wait $client
is "$(cat "$dir/load")" "200 of 200" "to those who asked before, too"
like "$(cat "$dir/calls")" '^[0-9]+ (sendto|sendfile|write)\(' "its calls are written"
kill -TERM $tracer
wait $tracer
is "$?$(cat "$dir/err")" 0 "SIGTERM ends the tracer"
is "$(load 20)" "20 of 20" "the server goes on"
rm -f "$dir/calls"
attach $server
kill -9 $tracer
wait $tracer 2>/dev/null
is "$(load 20)" "20 of 20" "also when the tracer is killed"
unlike "$(cat /proc/$server/task/*/status)" '^(State:.*[tT] \(|TracerPid:.[1-9])' "none of its threads is left stopped"
rm -f "$dir/calls"
attach $server
kill -SEGV $server
wait $tracer
like "$(cat "$dir/crash")" '^  0x[0-9a-f]+ .*poll.*libc' "when it crashes the backtrace tells where it was"
wait $server 2>/dev/null
server=

# ---- a thousand threads
all_are_heard()
{
	[ "$(cut -d' ' -f1 "$dir/calls" | sort -u | wc -l)" -ge 1000 ]
}

start_many()
{
	rm -f "$dir/input" "$dir/calls" "$dir/many"
	mkfifo "$dir/input"
	"$tracees/many-threads" 1000 <"$dir/input" >"$dir/many" &
	many=$!
	exec 9>"$dir/input"
	wait_for 60 grep -q ready "$dir/many"
	attach $many
	wait_for 60 all_are_heard
}
start_many
ok $? "calls of all of a thousand threads are written"
kill -TERM $tracer
wait $tracer
is "$?$(cat "$dir/err")" 0 "the tracer lets go of all"
exec 9>&-
wait $many
is $? 0 "the threads have gone on"
like "$(cat "$dir/many")" '^1000 threads, [0-9]+ rounds, 0 disturbed$' "and no call of theirs was disturbed"

start_many
kill -9 $tracer
wait $tracer 2>/dev/null
unlike "$(cat /proc/$many/task/*/status)" '^(State:.*[tT] \(|TracerPid:.[1-9])' "a tracer that is killed leaves none stopped"
exec 9>&-
wait $many
# The kernel ends calls that stand at their beginning with EINTR then, whoever the tracer was.
like "$(cat "$dir/many")" '^1000 threads, [0-9]+ rounds,' "and all end as they would"
many= tracer=
tap_done
