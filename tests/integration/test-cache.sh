#!/bin/sh
# What is kept from one run to the next changes how fast it starts, and nothing else.
# usage: test-cache.sh UTRACE TRACEES
utrace=$(realpath "$1")
tracees=$(realpath "$2")
. "$(dirname "$0")/../lib/tap.sh"
dir=$(realpath "$(mktemp -d)")
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export XDG_CACHE_HOME="$dir/cache"
cache=$XDG_CACHE_HOME/utrace
unset DEBUGINFOD_URLS

run() # SCRIPT [OPTION...]: one run over the tracee, with what it prints
{
	script=$1
	shift
	timeout 60 "$utrace" run "$@" -e "$script" -c "$tracees/points" 2>&1
}

fill()
{
	rm -rf "$cache"
	run "$everything" >"$dir/cold" 2>&1
}

misses() # what the cache could not tell
{
	run "$everything" -vv | sed -n 's/^Cache: [0-9]* found, \([0-9]*\) not found.$/\1/p'
}

# all kinds of questions that debug information answers
everything='probe process.function("*@points.c").call { printf("%s %s\n", pp(), $$vars) }
probe process.function("*").inline ? { println(pp()) }
probe process.function("branch").return { printf("%s %d %s\n", pp(), $return, user_string(@entry($text))) }
probe process.statement("main@points.c:*") { println(pp()) }
probe process.statement("branch@points.c:*") { printf("%s %s\n", pp(), $$locals) }
probe process.library("libc.so.6").function("puts").call ? { println(ppfunc()) }'

sane() # addresses of variables differ from run to run
{
	sed -E 's/0x[0-9a-f]{6,}/ADDRESS/g'
}

cold=$(run "$everything" | sane)
warm=$(run "$everything" | sane)
off=$(run "$everything" --disable-cache | sane)
like "$cold" 'function\("branch@.*points.c:[0-9]+"\)' "the script sees its target"
is "$warm" "$cold" "the second run prints what the first does"
is "$off" "$cold" "... and what one without a cache does"
is "$(misses)" 0 "the second run finds all in the cache"
is "$(stat -c %a "$cache")" 700 "the directory is for its owner alone"
is "$(find "$cache" -type f ! -perm 600)" "" "... and so are its files"

for list in '-l process("'"$tracees"'/points").function("*")' \
	'-L process("'"$tracees"'/points").function("*")' \
	'-L process("'"$tracees"'/points").statement("*@points.c:*")'; do
	rm -rf "$cache"
	cold=$("$utrace" run --disable-cache $list 2>&1)
	"$utrace" run $list >/dev/null 2>&1
	is "$("$utrace" run $list 2>&1)" "$cold" "utrace run $list"
done

# how a thousand places are patched
patches()
{
	timeout 60 "$utrace" run -v "$@" -e 'global n probe process.function("*") { n++ } probe process.function("*").return { n++ }
		probe end { println(n > 0) }' -c "/bin/bash -c :" 2>&1 | sed -n 's/, [0-9]* kB of code.*//p; /^[01]$/p'
}
cold=$(patches --disable-cache)
like "$cold" '^utrace: [0-9]{3,} patches' "there are many"
patches >/dev/null
is "$(patches)" "$cold" "plans that are known are those that would be made"

# a warm start that has to ask more: instances are found again by their place
run 'probe process.function("branch") { println(pp()) }' >/dev/null
is "$(run 'probe process.function("branch") { printf("%s\n", $$parms) }' | sane)" \
	"$(run 'probe process.function("branch") { printf("%s\n", $$parms) }' --disable-cache | sane)" \
	"variables of a place that is known"
is "$(run 'probe process.function("*").inline ? { printf("%s %s\n", pp(), $$vars) }' | sane)" \
	"$(run 'probe process.function("*").inline ? { printf("%s %s\n", pp(), $$vars) }' --disable-cache | sane)" \
	"variables of inlined copies that are known"

# damage
fill
good=$(sane <"$dir/cold")
for way in cut zero garbage empty; do
	fill
	for file in "$cache"/*; do
		case $way in
		cut) truncate -s -7 "$file" ;;
		zero) dd if=/dev/zero of="$file" bs=1 seek=200 count=64 conv=notrunc 2>/dev/null ;;
		garbage) head -c 3000 /dev/urandom >"$file" ;;
		empty) : >"$file" ;;
		esac
	done
	is "$(run "$everything" | sane)" "$good" "$way: the run is as if nothing had been kept"
	is "$(misses)" 0 "$way: ... and the next one finds it mended"
done

# what must not be believed
if [ "$(id -u)" = 0 ]; then
	fill
	chown 65534 "$cache"/*
	unlike "$(misses)" '^0$' "files of another user are not believed"
	fill
	chown 65534 "$cache"
	is "$(run "$everything" | sane)" "$good" "a directory of another user: no cache"
	like "$(run "$everything" -v)" "^Nothing is cached: .*belongs to user 65534" "... and -v says so"
	chown 0 "$cache"
else
	skip "files of others need root"
fi
fill
chmod 777 "$cache"
like "$(run "$everything" -v)" "^Nothing is cached: .*can be written by others" "a directory for all: no cache"
chmod 700 "$cache"
rm -rf "$cache"
: >"$cache"
is "$(run "$everything" | sane)" "$good" "a file where the directory should be: no cache"
rm -f "$cache"
if [ "$(id -u)" = 0 ]; then
	skip "root can write to any directory"
else
	chmod 500 "$XDG_CACHE_HOME"
	is "$(run "$everything" | sane)" "$good" "a directory that cannot be written: no cache"
	chmod 700 "$XDG_CACHE_HOME"
fi
is "$(XDG_CACHE_HOME=/proc/none run "$everything" | sane)" "$good" "a directory that cannot be: no cache"

# several at once
rm -rf "$cache"
for i in 1 2 3 4; do
	run "$everything" >"$dir/run$i" 2>&1 &
done
wait
for i in 1 2 3 4; do
	is "$(sane <"$dir/run$i")" "$good" "run $i of four at once"
done
is "$(misses)" 0 "what they left is whole"
is "$(find "$cache" -name '*.new*')" "" "... and nothing is half written"

# options
unlike "$(run "$everything" -vv --disable-cache)" '^Cache:' "--disable-cache: there is none"
like "$(run "$everything" -vv --poison-cache)" '^Cache: 0 found' "--poison-cache: nothing is found"
is "$("$utrace" run --clean-cache 2>&1; echo $?)" 0 "--clean-cache needs no script"
is "$(find "$cache" -type f)" "" "... and empties it"
fill
unlike "$(run "$everything" -vv --clean-cache)" '^Cache: .*, 0 not found' "--clean-cache with a script runs it cold"

# other files
cp "$tracees/points" "$dir/points"
other='probe process("'"$dir/points"'").function("branch") { println(pp()) }'
run_other() { timeout 60 "$utrace" run -vv -e "$other" -c "$dir/points" 2>&1; }
run_other >/dev/null
like "$(run_other)" '^Cache: .*, 0 not found' "a copy is kept by itself"
touch -d '2001-01-01' "$dir/points"
unlike "$(run_other)" '^Cache: .*, 0 not found' "a file with another time is another file"
if command -v objcopy >/dev/null; then
	rm -rf "$cache"
	objcopy --remove-section=.note.gnu.build-id "$tracees/points" "$dir/points"
	like "$(run_other)" '^Cache: 0 found, 1 not found' "without a build ID only the script's code is asked for"
	is "$(find "$cache" -type f | wc -l)" 1 "... and kept"
	rm -rf "$cache"
	cp "$tracees/points" "$dir/points"
	run_other >/dev/null
	strip "$dir/points"
	main() { timeout 60 "$utrace" run -e 'probe process.function("main") { printf("%d\n", $argc) }' -c "$dir/points" 2>&1; }
	like "$(main)" "semantic error" "without debug information"
	objcopy --only-keep-debug "$tracees/points" "$dir/points.debug"
	like "$(main)" '^1$' "a debug file that comes later is seen"
	rm "$dir/points.debug"
	like "$(main)" "semantic error" "... and one that goes"
	mkdir "$dir/.debug"
	objcopy --only-keep-debug "$tracees/points" "$dir/.debug/other.debug"
	objcopy --add-gnu-debuglink="$dir/.debug/other.debug" "$dir/points"
	like "$(main)" '^1$' "... and one that the program names"
else
	skip "no objcopy here"
fi
tap_done
