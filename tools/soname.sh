#!/bin/sh
# The name by which programs load a shared library: soname.sh FILE
name=$(LC_ALL=C readelf -d "$1" | sed -n 's/.*Library soname: \[\(.*\)\].*/\1/p')
[ -n "$name" ] || { echo "$1: not a shared library" >&2; exit 1; }
echo "$name"
