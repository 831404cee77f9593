#!/bin/sh
# Where symbols and debug information may come from.   usage: test-debuginfo.sh UTRACE TRACEES
utrace=$1
tracees=$(realpath "$2")
here=$(dirname "$0")
source=$(realpath "$here/../tracees/points.c")
. "$here/../lib/tap.sh"
dir=$(realpath "$(mktemp -d)")
trap 'rm -rf "$dir"' EXIT
unset DEBUGINFOD_URLS

list() # PROGRAM POINT
{
	"$utrace" list -L "process(\"$1\").$2" 2>&1
}
whole='function\("branch@.*points.c:[0-9]+"\) \$n:int \$text:char const\*'

have() # TOOL...
{
	for tool in "$@"; do
		command -v "$tool" >/dev/null 2>&1 || {
			skip "no $tool here: $what"
			return 1
		}
	done
}

strip_all() # PROGRAM OUTPUT: nothing but what runs
{
	objcopy -S --remove-section=.gnu_debuglink "$1" "$2"
}

program=$tracees/points
what="stripping and linking debug files"
if have objcopy; then
	objcopy --only-keep-debug "$program" "$dir/points.debug"
	strip_all "$program" "$dir/bare"
	like "$(list "$dir/bare" 'function("branch")')" "no match" "a stripped program has no local functions"
	like "$(list "$dir/bare" 'statement("branch@points.c:1")')" "requires debuginfo: $dir/bare has none" \
		"... and says what is missing"
	cp "$dir/bare" "$dir/linked"
	(cd "$dir" && objcopy --add-gnu-debuglink=points.debug linked)
	like "$(list "$dir/linked" 'function("branch")')" "$whole" ".gnu_debuglink: beside the program"
	mkdir "$dir/.debug"
	mv "$dir/points.debug" "$dir/.debug/"
	like "$(list "$dir/linked" 'function("branch")')" "$whole" ".gnu_debuglink: in .debug"
	printf 'x' >>"$dir/.debug/points.debug"
	like "$(list "$dir/linked" 'function("branch")')" "$whole" "the build ID decides where there is one"
	mv "$dir/.debug/points.debug" "$dir/points.debug"
	for file in bare points.debug; do
		objcopy --remove-section=.note.gnu.build-id "$dir/$file" "$dir/anonymous-$file"
	done
	(cd "$dir" && objcopy --add-gnu-debuglink=anonymous-points.debug anonymous-bare)
	like "$(list "$dir/anonymous-bare" 'function("branch")')" "$whole" "without a build ID the checksum decides"
	printf 'x' >>"$dir/anonymous-points.debug"
	unlike "$(list "$dir/anonymous-bare" 'function("branch")')" "$whole" "... and refuses another file"

	for how in zlib zstd; do
		if objcopy --compress-debug-sections=$how "$program" "$dir/$how" 2>/dev/null &&
			! cmp -s "$dir/$how" "$program"; then
			like "$(list "$dir/$how" 'function("branch")')" "$whole" "sections compressed by $how"
		else
			skip "this objcopy cannot compress by $how"
		fi
	done

	what="mini debug information"
	if have nm xz; then
		nm "$program" --format=posix --defined-only | sed -n 's/^\([^ ]*\) [tT] .*/\1/p' >"$dir/keep"
		objcopy -S --keep-symbols="$dir/keep" "$dir/points.debug" "$dir/mini"
		xz "$dir/mini"
		objcopy --remove-section=.note.gnu.build-id --add-section .gnu_debugdata="$dir/mini.xz" "$dir/bare" "$dir/fedora"
		like "$(list "$dir/fedora" 'function("branch")')" 'function\("branch"\)$' ".gnu_debugdata: names"
	fi
fi

what="debug information shared by dwz"
if have dwz; then
	cp "$program" "$dir/one"
	cp "$tracees/counter" "$dir/two"
	(cd "$dir" && dwz -m shared.alt one two 2>/dev/null)
	if readelf -S "$dir/one" | grep -q gnu_debugaltlink; then
		like "$(list "$dir/one" 'function("branch")')" "$whole" ".gnu_debugaltlink"
	else
		skip "dwz found nothing to share"
	fi
fi

what="split debug information"
if have cc; then
	(cd "$dir" && cc -O2 -g -gsplit-dwarf -o split "$source" 2>"$dir/err")
	if [ -x "$dir/split" ]; then
		like "$(list "$dir/split" 'function("branch")')" "$whole" "split debug information (.dwo)"
		like "$(list "$dir/split" 'statement("branch@points.c:*")')" "statement\(\"branch@.*points.c:" "... and its lines"
		rm -f "$dir"/*.dwo
		like "$(list "$dir/split" 'statement("branch@points.c:*")')" "in split files \(.dwo\) which are not where it says" \
			"lost .dwo files are told"
		# What has become of them?  libdw reads packages from 0.191 on.
		for packer in dwp llvm-dwp; do
			for version in 4 5; do
				have $packer || continue
				(cd "$dir" && cc -O2 -g -gdwarf-$version -gsplit-dwarf -o packed "$source" && $packer -e packed -o packed.dwp) 2>"$dir/err" ||
					{ skip "$packer packs no DWARF $version"; continue; }
				rm -f "$dir"/*.dwo
				like "$(list "$dir/packed" 'statement("branch@points.c:*")')" \
					"in $dir/packed.dwp is read by libdw 0.191 or later, and this is 0\.1|^process.*statement\(\"branch@.*points.c:" \
					"a package of $packer, DWARF $version: read, or told what it takes"
			done
		done
	else
		skip "this compiler cannot split debug information"
	fi
fi

# Nobody listens on port 9: the answer is "no", and that it was asked is told before.
out=$(DEBUGINFOD_URLS=http://127.0.0.1:9 DEBUGINFOD_CACHE_PATH=$dir/cache "$utrace" list \
	"process(\"$dir/bare\").function(\"main\")" 2>&1)
like "$out" "utrace: asking debuginfod for the debug information of $dir/bare \(http://127.0.0.1:9\)" "debuginfod is announced"
unlike "$("$utrace" list "process(\"$dir/bare\").function(\"main\")" 2>&1)" debuginfod "... and not asked without DEBUGINFOD_URLS"

libc=$(ldd "$program" | sed -n 's/.*=> \(.*libc\.so[^ ]*\).*/\1/p')
id=$(readelf -n "$libc" 2>/dev/null | sed -n 's/.*Build ID: *//p')
if [ -e "/usr/lib/debug/.build-id/$(printf %.2s "$id")/${id#??}.debug" ]; then
	like "$(list "$program" 'library("libc.so*").function("malloc")')" 'malloc@.*malloc.c:[0-9]+"\) \$bytes:size_t' \
		"a distribution's debug package, by build ID"
else
	skip "no debug package of libc here"
fi
tap_done
