#!/bin/sh
# The showcase: a script inside the system's own, stripped python3, as the user who runs this.
set -eu
utrace=$1
here=$(dirname "$0")
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3)
work='
import json, random
words = {}
for n in range(20000):
    word = "".join(random.choice("abcdefgh") for _ in range(4))
    words.setdefault(word, []).append(n)
random.seed(7)
for size in (10, 100, 1000, 10000, 100000):
    for _ in range(4):
        sorted([random.random() for _ in range(size)])
print(len(json.dumps(words)) > 0)
'
printf '$ utrace run examples/demo.stp -c "%s -c ..."\n' "$python"
printf '%s' "$work" >"${TMPDIR:-/tmp}/utrace-demo.$$.py"
trap 'rm -f "${TMPDIR:-/tmp}/utrace-demo.$$.py"' EXIT
"$utrace" run "$here/demo.stp" -c "$python ${TMPDIR:-/tmp}/utrace-demo.$$.py"
