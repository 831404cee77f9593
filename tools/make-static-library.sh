#!/bin/sh
# One relocatable object out of the layers' archives, in which everything that is not exported is local: a
# program that links it can have functions of the same names.  The first two archives go in whole.
# usage: make-static-library.sh OUTPUT.a COMPILER [ARGUMENT...] WHOLE.a WHOLE.a AS-NEEDED.a...
set -eu
output=$1
shift
compiler=
while [ "${1%.a}" = "$1" ]; do
	compiler="$compiler $1"
	shift
done
object=${output%.a}.o
first=$1
second=$2
shift 2
$compiler -r -nostdlib -o "$object" -Wl,--whole-archive "$first" "$second" -Wl,--no-whole-archive \
	-Wl,--start-group "$@" -Wl,--end-group
# the runtime's functions are exported for the agent's image only
objcopy --localize-hidden --wildcard --localize-symbol='rt_*' "$object"
rm -f "$output"
ar rcs "$output" "$object"
rm -f "$object"
