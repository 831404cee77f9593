#!/bin/sh
# procfs probes as files in the runtime directory, and input probes.   usage: test-control.sh UTRACE TRACEES
utrace=$1
. "$(dirname "$0")/../lib/tap.sh"
dir=$(mktemp -d)
run=
trap 'kill $run 2>/dev/null; rm -rf "$dir"' EXIT
export XDG_RUNTIME_DIR="$dir"
files=$dir/utrace/mine

"$utrace" run -m mine -e 'global n
	probe procfs("x").read { $value = sprintf("n=%d\n", ++n); $value .= "more\n" }
	probe procfs("x").write { printf("x got %s", $value); if ($value == "quit\n") exit() }
	probe procfs("x").write { printf("x also %s", $value) }
	probe procfs("sub/dir/y").umask(0077).write { printf("y got %s", $value) }
	probe procfs("short").read.maxsize(5) { $value = "longer than that\n" }
	probe procfs.read { $value = "the standard name\n" }
	probe begin { println(probe_type()) }' >"$dir/out" 2>"$dir/err" &
run=$!
wait_for 30 test -e "$files/command"
is "$(cat "$files/x")" "$(printf 'n=1\nmore')" "reading runs a handler"
is "$(cat "$files/x")" "$(printf 'n=2\nmore')" "... each time"
is "$(cat "$files/short")" "longe" "maxsize"
is "$(cat "$files/command")" "the standard name" "a probe without a name"
is "$(stat -c %a "$files/sub/dir/y")" "200" "umask"
for i in 1 2 3 4 5 6 7 8; do echo $i >"$files/x"; done
is "$(cat "$files/x")" "$(printf 'n=3\nmore')" "reading between writing"
(echo a; echo b) >"$files/sub/dir/y"
for i in 1 2 3 4 5 6 7 8; do (cat "$files/x" >/dev/null) & others="$others $!"; done
wait $others
echo quit >"$files/x"
wait $run
is "$?" "0" "exit() from a write probe"
run=
is "$(grep '^x got [0-9]' "$dir/out" | tr '\n' ' ')" \
	"x got 1 x got 2 x got 3 x got 4 x got 5 x got 6 x got 7 x got 8 " "every write is seen, in order"
is "$(grep -c '^x also [0-9]' "$dir/out")" "8" "... by every handler"
like "$(tr '\n' ' ' <"$dir/out")" "y got a b " "one write of two lines"
is "$(cat "$dir/err")" "" "nothing on standard error"
is "$(ls "$dir/utrace")" "" "nothing is left behind"

is "$(printf 'ab\ncd\n' | "$utrace" run -e 'probe input.line { print("line ", line); if (line == "cd\n") exit() }')" \
	"$(printf 'line ab\nline cd')" "input.line"
is "$(printf 'xyz' | "$utrace" run -e 'probe input.char { print("[", char, "]"); if (char == "y") exit() }')" "[x][y]" \
	"input.char, until exit()"
printf 'file' >"$dir/in"
is "$("$utrace" run -e 'probe input.char { print(char, "."); if (char == "e") exit() }' <"$dir/in")" "f.i.l.e." \
	"standard input from a file"
"$utrace" run -e 'probe input.char { print(char) } probe timer.ms(20) { exit() }' </dev/null >"$dir/out" 2>&1
is "$?$(cat "$dir/out")" "0" "the end of standard input is not the end of the run"

"$utrace" run -m metrics -e 'global hits
	probe begin { json_set_prefix("p") json_add_numeric_metric("n", "how many", "things") json_add_array("a", "rows")
		json_add_array_numeric_metric("a", "v", "value", "") hits["x"] = 1 hits["y"] = 2
		try { json_add_string_metric("n", "") } catch (e) { println(e) } }
	probe json_data { @json_output_data_start @json_output_numeric_value("n", 42)
		foreach (k in hits) @json_output_array_numeric_value("a", k, "v", hits[k])
		@json_output_data_end }
	probe prometheus { @prometheus_dump_array1(hits, "hits", "name") }
	probe procfs("end").write { exit() }' >"$dir/out" 2>"$dir/err" &
run=$!
wait_for 30 test -e "$dir/utrace/metrics/end"
is "$(python3 -c 'import json,sys; d = json.load(sys.stdin); print(d["n"], d["a"])' <"$dir/utrace/metrics/data.json")" \
	"42 [{'__id': 'x', 'v': 1}, {'__id': 'y', 'v': 2}]" "json_data"
is "$(python3 -c 'import json,sys; d = json.load(sys.stdin); print(d["prefix"], [m["name"] for m in d["metrics"]], d["metrics"][1]["metrics"])' \
	<"$dir/utrace/metrics/metadata.json")" \
	"p ['n', 'a'] [{'name': 'v', 'pointer': '/v', 'type': 'integer', 'description': 'value'}]" "metadata.json"
is "$(cat "$dir/utrace/metrics/__prometheus")" "$(printf 'hits{name="x"} 1\nhits{name="y"} 2')" "prometheus"
echo >"$dir/utrace/metrics/end"
wait $run
run=
is "$(cat "$dir/out")" "Metric 'n' already exists" "a metric given twice"
tap_done
