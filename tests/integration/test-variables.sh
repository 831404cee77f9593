#!/bin/sh
# Variables of one file, seen from probes in another.   usage: test-variables.sh UTRACE TRACEES
utrace=$1
here=$(dirname "$0")
sources=$(realpath "$here/../tracees/places")
. "$here/../lib/tap.sh"
dir=$(realpath "$(mktemp -d)")
trap 'rm -rf "$dir"' EXIT
command -v cc >/dev/null 2>&1 || {
	echo "1..0 # SKIP no compiler"
	exit 77
}
# -ftls-model: how a library finds its own variables, which is how a script does
build() # NAME FLAGS...
{
	mkdir "$dir/$1"
	cc -g -O1 -fPIC -shared "$2" "$sources/library.c" -o "$dir/$1/libwork.so" &&
		cc -g -O1 "$sources/program.c" -o "$dir/$1/program" -L"$dir/$1" -lwork -Wl,-rpath,"$dir/$1"
}
run() # MODE SCRIPT
{
	timeout 60 "$utrace" run "--mode=$1" -e "$2" -c "$dir/$build/program" 2>&1
}
for build in global-dynamic initial-exec; do
	build $build "-ftls-model=$build"
	library=$dir/$build/libwork.so
	for mode in inject ptrace; do
		is "$(run $mode 'probe process.function("work") { printf("%d %s %d\n", @var("settings", "libwork.so")->nested[1]->b,
			user_string(@var("settings@library.c", "libwork.so")->name), @var("settings", "'"$library"'")->flags) }')" \
			"4 library 5" "$build, $mode: a library's variables from the program"
		is "$(run $mode 'probe process.function("work") { println(@var("in_thread", "libwork.so"), " ",
			@var("hidden_in_thread", "libwork.so")) }')" "11 12" "$build, $mode: and those of the thread"
		is "$(run $mode 'probe process.library("libwork.so").function("library_work") { println(@var("hidden"), " ", @var("in_thread"),
			" ", @var("first", "'"$dir/$build/program"'")->next->number, " ", @var("count", "'"$dir/$build/program"'")) }')" \
			"33 11 5 100" "$build, $mode: the program's from the library"
	done
done
build=global-dynamic
program=$dir/$build/program
is "$(run inject 'function f() { return @var("first", "'"$program"'")->number }
	probe process.begin { println(f()) } probe process.function("work") { println(f()) }')" "5
5" "in a function, and when the process begins"
like "$(run inject 'probe begin { println(@var("first", "'"$program"'")->number) }')" \
	"ERROR: no variables of $program: the process has not mapped it" "nothing is read where there is no process"
like "$(run inject 'probe process.function("work") { println(@var("nothing", "libwork.so")) }')" \
	"unable to find global 'nothing' in $dir/$build/libwork.so" "what the other file does not have"
like "$(run inject 'probe process.function("work") { println(@var("x", "libnowhere.so")) }')" \
	"no module 'libnowhere.so' is known here" "a file that the program does not need"
tap_done
