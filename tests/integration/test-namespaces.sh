#!/bin/sh
# A program in mount and process namespaces of its own: files that only it sees, and numbers that only it has.
# usage: test-namespaces.sh UTRACE TRACEES
utrace=$1
tracees=$2
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
contained=
trap 'kill -9 $contained 2>/dev/null; rm -rf "$dir"' EXIT
if ! unshare -pfm mount -t tmpfs none "$dir" 2>/dev/null; then
	skip "namespaces cannot be made here"
	tap_done
	exit
fi

mkfifo "$dir/to" "$dir/from"
mkdir "$dir/there"
unshare -pfm sh -c 'mount -t tmpfs none "$1/there"; cp "$2" "$1/there/hidden"
	ln -s "$1/there/hidden" "$1/there/link"; exec "$1/there/hidden"' - \
	"$dir" "$tracees/probed" <"$dir/to" >"$dir/from" &
outside=$!
exec 3>"$dir/to" 4<"$dir/from"
read -r line <&4
contained=$(cat "/proc/$outside/task/$outside/children")
contained=${contained% }
[ ! -e "$dir/there/hidden" ] && [ -n "$contained" ]
ok $? "a program that only its own namespace has"
# from here on its path means another program to the tracer
cp "$utrace" "$dir/there/hidden"

look() # POINT OPTION...
{
	point=$1
	rm -f "$dir/out"
	shift
	"$utrace" run "$@" -x "$contained" -o "$dir/out" -e "probe begin { system(\"touch '$dir/begun'\") }
		probe $point { printf(\"process %d\n\", pid()) print_ubacktrace() println(usymdata(ustack(1)))
			println(usymfileline(ustack(1))) exit() }" >"$dir/err" 2>&1 &
	tracer=$!
	while [ ! -e "$dir/begun" ] && kill -0 $tracer 2>/dev/null; do
		sleep 0.05
	done
	rm -f "$dir/begun"
	# the first that finds the probe ends the run
	while kill -0 $tracer 2>/dev/null; do
		echo "c 1" >&3
		read -r line <&4
		sleep 0.05
	done
	wait $tracer
	sed 's/^/# /' "$dir/err"
	cat "$dir/out" 2>/dev/null
}

out=$(unshare -pf "$utrace" run -e 'probe begin { exit() }' -c true 2>&1)
like "$out" "/proc belongs to another PID namespace.*not 1" "a tracer whose /proc is not its own"
like "$out" "mount-proc" "what would help"

for how in inject ptrace; do
	out=$(look 'process.function("inner")' --mode=$how)
	like "$out" ": inner\\+0x0/0x[0-9a-f]+ \\[$dir/there/hidden\\]" "$how: its own function"
	like "$out" ": main\\+0x[0-9a-f]+/0x[0-9a-f]+ \\[$dir/there/hidden\\]" "the bottom of its stack"
	like "$out" ": __libc_start_call_main\\+0x" "a library that both have"
	like "$out" "^outer\\+0x[0-9a-f]+/0x[0-9a-f]+ \\[" "usymdata()"
	like "$out" "probed.c:[0-9]+$" "usymfileline()"
done
for name in hidden link 'hid*'; do
	out=$(look "process(\"$dir/there/$name\").function(\"inner\")")
	like "$out" "^outer\\+0x" "$name: a path means what it means in its namespace"
done
exec 3>&- 4<&-
wait $outside
is $? 0 "it ends as it should"

# a file that was replaced while the program runs
cp "$tracees/probed" "$dir/replaced"
"$dir/replaced" <"$dir/to" >"$dir/from" &
contained=$!
exec 3>"$dir/to" 4<"$dir/from"
read -r line <&4
rm "$dir/replaced"
for what in removed replaced; do
	out=$(look "process(\"$dir/replaced\").function(\"inner\")")
	like "$out" "^outer\\+0x" "the program of a $what file"
	cp "$utrace" "$dir/replaced"
done
exec 3>&- 4<&-
wait $contained
is $? 0 "it ends as it should"
contained=
tap_done
