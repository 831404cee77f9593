#!/bin/sh
# Where text comes from, who else changes it, and what the kernel and the program allow.   usage: test-text.sh UTRACE TRACEES
utrace=$(realpath "$1")
tracees=$2
guarded=$tracees/guarded
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
trap 'kill $pids 2>/dev/null; umount "$dir/bound" 2>/dev/null; rm -rf "$dir"' EXIT
pids=

start() # COMMAND...: $pid runs; its standard input is descriptor 9
{
	rm -f "$dir/in" "$dir/out"
	mkfifo "$dir/in"
	"$@" <"$dir/in" >"$dir/out" 2>&1 &
	pid=$!
	pids="$pids $pid"
	exec 9>"$dir/in"
	wait_for 20 grep -q -e ready -e skipped "$dir/out"
}

end() # $pid comes to its end; $said is what it said
{
	echo >&9
	exec 9>&-
	wait $pid
	said=$(grep -v -e ready -e rewritten "$dir/out")
}

visit() # PATH [OPTIONS...]: probes work() of a running process
{
	path=$1
	shift
	timeout 20 "$utrace" run "$@" -e "global n probe process(\"$path\").function(\"work\").return { if (++n == 1000) exit() }
		probe end { printf(\"n=%d\\n\", n >= 1000) }" -x $pid 2>"$dir/err"
}

# ---- what the kernel forbids the program

for case in plain mdwe undumpable sealed; do
	start "$guarded" $case
	if grep -q skipped "$dir/out"; then
		skip "$case: $(cat "$dir/out")"
		wait $pid
		continue
	fi
	for mode in inject ptrace; do
		is "$(visit "$guarded" --mode=$mode)" "n=1" "attached, $case: $mode"
		is "$(text_state $pid guarded)" "same" "... text as before"
	done
	end
	like "$said" "^calls=[0-9]* wrong=0$" "... and it computes the same"
	out=$("$utrace" run -e 'global n probe process.function("work") { n++ } probe end { printf("n=%d\n", n) }' \
		-c "$guarded $case" </dev/null 2>&1 | tr '\n' ' ')
	is "$out" "ready calls=10000 wrong=0 n=10000 " "from the start, $case"
done

# ---- text that is mapped shared: what is written there would be written to the file

cp "$tracees/libplugin.so" "$dir/libshared.so"
before=$(cksum <"$dir/libshared.so")
start "$guarded" shared "$dir/libshared.so"
if grep -q ready "$dir/out"; then
	timeout 20 "$utrace" run -e "probe process(\"$dir/libshared.so\").function(\"plugin_work\") { println(1) }
		probe timer.s(1) { exit() }" -x $pid >"$dir/said" 2>&1
	like "$(cat "$dir/said")" "mapped shared: a change would reach the file" "shared text is refused, with the reason"
	is "$(cksum <"$dir/libshared.so")" "$before" "... and the file is as it was"
fi
end

# ---- the program rewrites what is probed

rm -f "$dir/hits"
start "$guarded" rewrite
timeout 60 "$utrace" run -e "global n probe process(\"$guarded\").function(\"rewritten\") { if (n++ == 0) println(\"hit\") }
	probe process(\"$guarded\").function(\"work\") { n++ }" -x $pid >"$dir/hits" 2>"$dir/err" &
tracer=$!
wait_for 20 grep -q hit "$dir/hits"
echo >&9
wait_for 20 grep -q rewritten "$dir/out"
kill -INT $tracer
wait $tracer
like "$(cat "$dir/err")" "overwritten by somebody else" "text that the program has rewritten: told"
end
like "$said" "^calls=[0-9]* wrong=0$" "... and what it wrote stays"

# ---- names of files

cp "$guarded" "$dir/first"
ln "$dir/first" "$dir/second"
start "$dir/first"
is "$(visit "$dir/second")" "n=1" "a process started by another name of the file: a hard link"
end
like "$said" "wrong=0$" "... computes the same"
ln -s first "$dir/third"
start "$dir/third"
is "$(visit "$dir/first")" "n=1" "... a symbolic link"
end
mkdir "$dir/bound"
if mount --bind "$tracees" "$dir/bound" 2>/dev/null; then
	start "$dir/bound/guarded"
	is "$(visit "$dir/bound/guarded")" "n=1" "... a bind mount"
	is "$(visit "$guarded")" "n=1" "... by the name it is mounted from"
	end
	umount "$dir/bound"
else
	skip "no bind mount may be made here"
	skip "no bind mount may be made here"
fi

# Another file takes the name: the process goes on with the old one.
start "$dir/first"
cp "$tracees/counter" "$dir/new"
mv "$dir/new" "$dir/first"
timeout 20 "$utrace" run -e "probe process(\"$dir/first\").function(\"leaf\") { println(1) } probe timer.s(1) { exit() }" \
	-x $pid >"$dir/said" 2>&1
unlike "$(cat "$dir/said")" "^1$" "the file was replaced: the new one's probes do not go into the old one's text"
is "$(text_state $pid second)" "same" "... which is as it was"
is "$(visit "/proc/$pid/exe")" "n=1" "... and is probed as /proc/PID/exe"
end
like "$said" "wrong=0$" "... and it computes the same"
cp "$guarded" "$dir/gone"
start "$dir/gone"
rm "$dir/gone"
is "$(visit "/proc/$pid/exe")" "n=1" "a deleted file: by /proc/PID/exe"
end
like "$said" "wrong=0$" "... and it computes the same"

# ---- processes that come from it

out=$("$utrace" run -e 'global n probe process.function("work") { n++ } probe end { printf("n=%d\n", n) }' \
	-c "$guarded spawn" </dev/null 2>&1 | tail -n 2 | tr '\n' ' ')
is "$out" "calls=20 wrong=0 n=200020 " "posix_spawn: the children are probed, and live"
is "$("$utrace" run -e 'probe process.begin { next }' -c "$guarded spawn" </dev/null 2>&1 | tail -n 1)" "calls=20 wrong=0" \
	"... and without a probe in them"
"$utrace" run -o "$dir/seen" -e 'global n probe process.function("work") { n++ } probe end { printf("n=%d\n", n) }' \
	-c "$guarded daemon" </dev/null >"$dir/said" 2>&1
is "$(cat "$dir/seen")" "n=10000" "a daemon is followed to its end"
is "$(cat "$dir/said")" "calls=10000 wrong=0" "... and computes the same"

# One library in two namespaces of the dynamic linker.
for mode in inject ptrace; do
	out=$("$utrace" run --mode=$mode -e "global n, r probe process(\"$tracees/libplugin.so\").function(\"plugin_work\") { n++ }
		probe process(\"$tracees/libplugin.so\").function(\"plugin_work\").return { r++ } probe end { printf(\"n=%d r=%d\\n\", n, r) }" \
		-c "$guarded twice $tracees/libplugin.so" 2>/dev/null | tr '\n' ' ')
	is "$out" "calls=122 wrong=0 n=122 r=122 " "a library that is mapped twice at once: $mode"
done

# Those that start while the run goes on, by a pattern of their names; one comes to it by an exec.
cp "$guarded" "$dir/later-a"
cp "$guarded" "$dir/later-b"
rm -f "$dir/hits"
timeout 60 "$utrace" run -e "global a, b probe process(\"$dir/later-*\").begin { printf(\"begin %s\\n\", execname()) }
	probe process(\"$dir/later-*\").function(\"work\") { if (execname() == \"later-a\") a++; else b++
		if (a > 100 && b > 100) exit() } probe begin { println(\"up\") }" >"$dir/hits" 2>"$dir/err" &
tracer=$!
wait_for 20 grep -q up "$dir/hits"
mkfifo "$dir/in-b"
sh -c "sleep 0.5; exec '$dir/later-b'" <"$dir/in-b" >"$dir/said-b" &
other=$!
pids="$pids $other"
exec 8>"$dir/in-b"
start "$dir/later-a"
wait $tracer
is "$?" 0 "processes that start later are probed"
is "$(grep begin "$dir/hits" | sort | tr '\n' ' ')" "begin later-a begin later-b " "... and their begin is told once"
is "$(text_state $pid later) $(text_state $other later)" "same same" "... text as before"
end
echo >&8
exec 8>&-
wait $other
is "$(cat "$dir/said-b" | sed 's/=[0-9]* /=N /')" "$(printf 'ready\ncalls=N wrong=0')" "... and they compute the same"

# ---- values below the stack pointer, a million times

lines="process.statement(\"work@guarded.c:*\")"
for how in '--mode=inject' '--mode=ptrace'; do
	count=1000000
	[ $how = --mode=ptrace ] && count=2000
	out=$("$utrace" run $how -e "global n probe $lines { n++ } probe process.function(\"work\").return { n++ }
		probe end { printf(\"n=%d\\n\", n > $count) }" -c "$guarded redzone $count" 2>/dev/null | tr '\n' ' ')
	is "$out" "calls=$count wrong=0 n=1 " "the red zone is kept, $how"
done

# ---- frames as the program sees them

want=$("$guarded" backtrace)
for how in '--mode=inject' '--mode=ptrace'; do
	is "$("$utrace" run $how -e 'global n probe process.function("*most") { n++ } probe process.function("*most").return { n++ }
		probe process.function("middle") { n++ } probe process.function("middle").return { n++ } probe end { if (n != 6) println(n) }' \
		-c "$guarded backtrace" 2>&1)" \
		"$want" "backtrace() in probed functions tells the true callers, $how"
	is "$("$utrace" run $how -e 'global n probe process.function("comes_again") { n++ } probe process.function("comes_again").return { n++ }
		probe process.function("jump_back") { n++ } probe process.function("jump_back").return { n++ }
		probe end { printf("n=%d\n", n) }' -c "$guarded again" 2>/dev/null | tr '\n' ' ')" \
		"again=1000 n=1002 " "setjmp() that returns again, $how"
done

# ---- a core dump

if [ "$(cat /proc/sys/kernel/core_pattern)" = core ] && command -v gdb >/dev/null; then
	own=$(cd "$dir" && ulimit -c unlimited && { "$guarded" crash >/dev/null 2>&1; echo $?; })
	core=$(ls "$dir"/core* 2>/dev/null)
	where() { gdb -batch -ex 'printf "pc %p\n", $pc' -ex 'info symbol $pc' "$guarded" "$core" 2>/dev/null | grep -e '^main' -e "^pc"; }
	if [ -n "$core" ]; then
		plain=$(where)
		rm -f "$core"
		(cd "$dir" && ulimit -c unlimited && ASAN_OPTIONS=$ASAN_OPTIONS:disable_coredump=0 "$utrace" run -e "global n probe process.function(\"work\") { n++ }
			probe process.statement(\"main@guarded.c:*\") { n++ }" -c "$guarded crash" >/dev/null 2>"$dir/err")
		core=$(ls "$dir"/core* 2>/dev/null)
		is "$(where | sed -n 's/ in section.*//;/^main/p')" "$(printf '%s' "$plain" | sed -n 's/ in section.*//;/^main/p')" \
			"a core dump has the program's own instruction (status alone $own)"
	else
		skip "no core dump is written here"
	fi
else
	skip "core dumps go elsewhere, or no gdb"
fi

# ---- a debugger's breakpoints

if command -v gdb >/dev/null; then
	start "$guarded"
	visit "$guarded" >/dev/null
	out=$(gdb -batch -p $pid -ex 'break work' -ex continue -ex 'x/i $pc' -ex 'delete' -ex detach 2>&1)
	like "$out" "Breakpoint 1, .*work" "gdb after us: its breakpoint stops"
	is "$(visit "$guarded")" "n=1" "... and we after gdb"
	end
	like "$said" "wrong=0$" "... and it computes the same"
	# What gdb leaves when it is killed is its own, and not ours to take for the original.
	start "$guarded"
	address=$(nm "$guarded" | sed -n 's/ t work$//p')
	python3 - $pid "$guarded" $address <<-'END'
	import os, sys
	pid, path, address = sys.argv[1], os.path.realpath(sys.argv[2]), int(sys.argv[3], 16)
	base = min(int(l.split("-")[0], 16) for l in open(f"/proc/{pid}/maps") if l.rstrip().endswith(path))
	os.kill(int(pid), 19)
	with open(f"/proc/{pid}/mem", "r+b", 0) as memory:
	    memory.seek(base + address)
	    memory.write(b"\xcc")
	END
	timeout 20 "$utrace" run -e "probe process(\"$guarded\").function(\"work\") { println(1) } probe timer.s(1) { exit() }" \
		-x $pid >"$dir/said" 2>&1
	like "$(cat "$dir/said")" "somebody else's breakpoint is there" "a breakpoint of somebody else is refused, with the reason"
	kill -KILL $pid
	wait $pid 2>/dev/null
	exec 9>&-
else
	skip "no gdb"
fi

# ---- what is refused later

cat >"$dir/odd.s" <<'END'
	.globl odd
	.type odd, @function
odd:	int3
	ret
	.size odd, .-odd
	.globl fine
	.type fine, @function
fine:	lea 1(%rdi), %eax
	nopw 0(%rax,%rax)
	ret
	.size fine, .-fine
	.section .note.GNU-stack,"",@progbits
END
if cc -shared -o "$dir/libodd.so" "$dir/odd.s" 2>/dev/null; then
	out=$("$utrace" run -e "probe process(\"$dir/libodd.so\").function(\"odd\") { println(1) }
		probe process(\"$dir/libodd.so\").function(\"fine\") { println(1) }" -c /bin/true 2>&1)
	like "$out" "odd.*refused: .*int3 in text" "an instruction that cannot be probed is refused before anybody maps it"
else
	skip "no compiler"
fi
tap_done
