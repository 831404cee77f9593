# SPDX-License-Identifier: MIT
# Visits to running programs and servers: source it after programs.sh.
#
#   visited NAME HOW...     visits the running $command, in each way; the last visits end by SIGKILL
#   served NAME HOW...      the same for a server, which works while it is visited
#
# Whoever sources it has
#   visit PID HOW           one visit that ends by itself; false: it has shown nothing
#   stay PID HOW            becomes a tracer that is there until it is told to go, and then leaves what it has seen in $dir/count
#   many                    what that is at least, for grep -E
#   longer                  by how many times a visited program has more to do
#   who                     behind a program's name in what is told
#
# The oracles: output and exit status as without us; text byte for byte what it was; nothing left mapped; no thread
# missing; a program that lives on after its tracer was killed.
pids= longer=1

# One that has ended is as clean as can be.
clean() { ended $1 || [ "$(text_state $1)" = same ] || ended $1; }

ended() { ! grep -q '^State:.[^ZX]' /proc/$1/status 2>/dev/null; }

# What takes some seconds.
rounds() # NAME
{
	case $1 in
	python3 | node | systemd | luajit) echo 60 ;; java | gdb) echo 30 ;; vim | tar | sanitized-*) echo 100 ;;
	perl | lua | curl | musl-static | rust | sqlite3) echo 400 ;; php | tcc) echo 200 ;; ruby | tmux | fpc) echo 50 ;;
	go* | openssl | cc1 | xz | lto1 | stress-ng) echo 5 ;; git | zstd | ld | ffmpeg) echo 12 ;; *) echo 8 ;;
	esac
}

differences() # FILE: from the program alone
{
	diff "$dir/plain" "$1" | head -n 6 | cut -c 1-200 | sed 's/^/# /'
}

visited() # NAME HOW...
{
	name=$1
	shift
	program "$name" $(($(rounds "$name") * longer))
	sh -c "exec $as $command" >"$dir/plain" 2>&1
	sh -c "exec $as $command" >"$dir/visited" 2>&1 &
	pid=$! visits=0 dirty=0 killed=0
	pids="$pids $pid"
	for how; do
		! ended $pid && visit $pid "$how" && visits=$((visits + 1))
		wait_for 10 clean $pid || dirty=$((dirty + 1))
	done
	for delay in 0.1 0.4 0.9 2.5; do
		! ended $pid || break
		stay $pid "$1" >/dev/null 2>&1 &
		tracer=$!
		sleep $delay
		kill -KILL $tracer 2>/dev/null
		wait $tracer 2>/dev/null
		ended $pid || killed=$((killed + 1))
		wait_for 20 clean $pid || dirty=$((dirty + 1))
	done
	wait $pid
	got=$?
	cmp -s "$dir/plain" "$dir/visited" && [ $got = $status ]
	good=$?
	# its work was done before a visit was: that shows nothing
	[ $visits != 0 ] || [ $good != 0 ] || { skip "$name$who: ended before all functions were armed"; return; }
	ok $good "$name$who: as alone, visited $visits times and left by $killed killed tracers (status $got)"
	differences "$dir/visited"
	is $dirty 0 "$name$who: text and mappings as before after each visit"
}

state() # PIDS: threads and signals of each
{
	for p; do grep -E '^(Sig(Cgt|Ign|Blk)|Threads|NoNewPrivs)' /proc/$p/status; done
}

serve() # NAME HOW SIGNAL: work is done during a visit that ends by the signal
{
	rm -f "$dir/count"
	stay $target "$2" >"$dir/said" 2>&1 &
	tracer=$!
	armed_now() { ! clean $target; }
	wait_for 60 armed_now
	server_load "$1" >"$dir/armed" 2>&1
	cmp -s "$dir/plain" "$dir/armed"
	ok $? "$1, ${2:-entries}, $3$who: answers as alone"
	differences "$dir/armed"
	kill -$3 $tracer
	wait $tracer 2>/dev/null
	[ $3 = KILL ] || like "$(tail -n 1 "$dir/count")" "$many" "... with many hits"
	for p in $target $(pgrep -P $server); do
		wait_for 20 clean $p || break
	done
	is "$(text_state $target)" "same" "... text and mappings as before"
	is "$(state $target)" "$before" "... threads and signals as before"
}

served() # NAME HOW...
{
	name=$1 why=
	shift
	server "$name" || { skip "$name: $why"; server_stop; return; }
	target=$server
	[ "$name" != nginx ] || target=$(pgrep -P $server | head -n 1)
	server_load "$name" >"$dir/plain" 2>&1
	before=$(state $target)
	for how; do serve "$name" "$how" INT; done
	serve "$name" "$1" KILL
	server_load "$name" >"$dir/armed" 2>&1
	cmp -s "$dir/plain" "$dir/armed"
	ok $? "$name$who: goes on after all"
	server_stop
}

# As ourselves, and where we are root as an ordinary user too.
for_users() # COMMAND...
{
	for user in "" nobody; do
		as= who=
		[ -z "$user" ] || [ "$(id -u)" = 0 ] || continue
		[ -z "$user" ] || { as=$nobody who=", as $user"; }
		"$@"
	done
}
