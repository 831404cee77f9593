#!/bin/sh
# Runs a test as an ordinary user.  For tests that are run as root anyway; when they are not, the test itself
# has shown it.   usage: as-user.sh PROGRAM [ARGUMENT...]
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP not root: the test itself runs as an ordinary user"
	exit 0
fi
program=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cp "$program" "$dir/"
setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all --bounding-set=-all \
	"$dir/$(basename "$program")" "$@"
