#!/bin/sh
# libutrace as others use it: installed, found with pkg-config, linked both ways, from C and C++.
# usage: test-library.sh BUILD-DIRECTORY COMPILER SANITIZERS
build=$1
cc=$2
sanitize=$3
here=$(dirname "$0")
. "$here/../lib/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
[ "$sanitize" = none ] || cc="$cc -fsanitize=$sanitize"

meson install -C "$build" --no-rebuild --destdir "$dir/root" >"$dir/install" 2>&1
ok $? "meson install"
pc=$(find "$dir/root" -name utrace.pc)
export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR="$dir/root"
flags=$(pkg-config --cflags utrace)
ok $? "pkg-config finds it"
libdir=$(dirname "$(find "$dir/root" -name libutrace.a)")

# What is declared is exported, and nothing else.
header=$(find "$dir/root" -name utrace.h)
python3 - "$header" >"$dir/declared" <<'PY'
import re, sys
text = re.sub(r"/\*.*?\*/", "", open(sys.argv[1]).read(), flags=re.S)
text = re.sub(r"static inline.*?\n}\n", "", text, flags=re.S)
text = re.sub(r"struct utrace_engine_ops \{.*?\n};", "", text, flags=re.S)
print("\n".join(sorted(set(re.findall(r"\b(utrace_\w+)\(", text)))))
PY
exported()
{
	awk '$2 ~ /^[TDBRVW]$/ && $3 !~ /^(__asan|__odr|__ubsan|__tsan|__start|__stop)/ { print $3 }' | sort -u
}
is "$(nm -D --defined-only "$libdir/libutrace.so" | exported)" "$(cat "$dir/declared")" \
	"the shared library exports what the header declares"
is "$(nm -g --defined-only "$libdir/libutrace.a" 2>/dev/null | exported)" "$(cat "$dir/declared")" \
	"so does the static one"

# The man page: every function, and an example that does what it says.
page=$here/../../man/utrace.3.scd
missing=$(while read -r name; do grep -q "[ *]$name(" "$page" || echo "$name"; done <"$dir/declared")
is "$missing" "" "utrace(3) has every function"
sed -n '/^```$/,/^```$/{/^```$/d; s/\\\\/\\/g; p}' "$page" >"$dir/example.c"
$cc -Wall -Werror $flags "$dir/example.c" -o "$dir/example" $(pkg-config --libs utrace) 2>"$dir/err"
ok $? "its example can be compiled"
sed 's/^/# /' "$dir/err"
out=$(LD_LIBRARY_PATH="$libdir" "$dir/example" true)
like "$out" "^[1-9][0-9]+$" "and counts system calls"

printf '#include <utrace/utrace.h>\nint main(void){return 0;}\n' >"$dir/header.c"
$cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror $flags -fsyntax-only "$dir/header.c" 2>"$dir/err"
ok $? "the header alone, in strict C11 and POSIX"
cat "$dir/err" | sed 's/^/# /'
if command -v c++ >/dev/null 2>&1; then
	c++ -Wall -Wextra -Werror $flags -fsyntax-only -x c++ "$dir/header.c"
	ok $? "in C++"
else
	skip "no C++ compiler"
fi

$cc $flags "$here/../tracees/library-user.c" -o "$dir/shared" $(pkg-config --libs utrace) 2>"$dir/err"
ok $? "a program links the shared library"
sed 's/^/# /' "$dir/err"
out=$(LD_LIBRARY_PATH="$libdir" "$dir/shared" true)
like "$out" "^[1-9][0-9]* system calls, exit status 0$" "and counts system calls"
$cc $flags "$here/../tracees/library-user.c" -o "$dir/static" "$libdir/libutrace.a" -pthread 2>"$dir/err"
ok $? "another the static one, with functions of the names that are hidden in it"
sed 's/^/# /' "$dir/err"
out=$("$dir/static" true)
like "$out" "^[1-9][0-9]* system calls, exit status 0$" "and counts system calls"

# libutrace-uprobes: the same again, and probes.
uflags=$(pkg-config --cflags utrace-uprobes)
ok $? "pkg-config finds utrace-uprobes"
uheader=$(find "$dir/root" -name uprobes.h)
python3 - "$uheader" >"$dir/udeclared" <<'PY'
import re, sys
text = re.sub(r"/\*.*?\*/", "", open(sys.argv[1]).read(), flags=re.S)
text = re.sub(r"static inline.*?\n}\n", "", text, flags=re.S)
print("\n".join(sorted(set(re.findall(r"\b(uprobes?_\w+)\(", text)))))
PY
both=$(sort -u "$dir/declared" "$dir/udeclared")
is "$(nm -D --defined-only "$libdir/libutrace-uprobes.so" | exported)" "$both" \
	"the shared library exports what the two headers declare"
is "$(nm -g --defined-only "$libdir/libutrace-uprobes.a" 2>/dev/null | exported)" "$both" "so does the static one"
upage=$here/../../man/uprobes.3.scd
missing=$(while read -r name; do grep -q "[ *]$name(" "$upage" || echo "$name"; done <"$dir/udeclared")
is "$missing" "" "uprobes(3) has every function"
libc=$(ldd "$dir/example" | sed -n 's/.*=> \(.*libc[.]so[^ ]*\).*/\1/p')
sed -n '/^```$/,/^```$/{/^```$/d; s/\\\\/\\/g; p}' "$upage" | sed "s,/lib/x86_64-linux-gnu/libc.so.6,$libc," >"$dir/uexample.c"
$cc -Wall -Werror $uflags "$dir/uexample.c" -o "$dir/uexample" $(pkg-config --libs utrace-uprobes) 2>"$dir/err"
ok $? "its example can be compiled"
sed 's/^/# /' "$dir/err"
out=$(LD_LIBRARY_PATH="$libdir" "$dir/uexample" ls /)
like "$out" "^[1-9][0-9]+ calls, 0 failed$" "and counts calls of malloc"
$cc $uflags "$dir/uexample.c" -o "$dir/ustatic" "$libdir/libutrace-uprobes.a" \
	$(pkg-config --libs --static utrace-uprobes | sed 's/-lutrace-uprobes//') 2>"$dir/err"
ok $? "a program links the static one"
sed 's/^/# /' "$dir/err"
out=$("$dir/ustatic" ls /)
like "$out" "^[1-9][0-9]+ calls, 0 failed$" "and counts calls of malloc"
for name in uprobes uprobe-native; do
	printf '#include <utrace/%s.h>\nint main(void){return 0;}\n' $name >"$dir/header.c"
	$cc -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Werror $uflags -fsyntax-only "$dir/header.c" 2>"$dir/err"
	ok $? "$name.h alone, in strict C11 and POSIX"
	sed 's/^/# /' "$dir/err"
	if command -v c++ >/dev/null 2>&1; then
		c++ -Wall -Wextra -Werror $uflags -fsyntax-only -x c++ "$dir/header.c"
		ok $? "in C++"
	else
		skip "no C++ compiler"
	fi
done
tap_done
