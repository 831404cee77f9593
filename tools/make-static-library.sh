#!/bin/sh
# One relocatable object out of the layers' archives, in which everything that is not exported is local: a
# program that links it can have functions of the same names.
# usage: make-static-library.sh OUTPUT.a COMPILER [ARGUMENT...] WHOLE.a WHOLE.a AS-NEEDED.a
set -eu
output=$1
shift
compiler=
while [ $# -gt 3 ]; do
	compiler="$compiler $1"
	shift
done
object=${output%.a}.o
$compiler -r -nostdlib -o "$object" -Wl,--whole-archive "$1" "$2" -Wl,--no-whole-archive "$3"
objcopy --localize-hidden "$object"
rm -f "$output"
ar rcs "$output" "$object"
rm -f "$object"
