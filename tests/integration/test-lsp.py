#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A session of an editor with `utrace lsp`.   usage: test-lsp.py UTRACE TRACEES"""
import json
import os
import subprocess
import sys
import tempfile

count = 0
failed = 0


def check(good, name, got=None):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print(f"# got: {str(got)[:600]}")


class Client:
    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.number = 0
        self.published = {}

    def send_text(self, text):
        data = text.encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.process.stdin.flush()

    def send(self, method, params, number=None):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if number is not None:
            message["id"] = number
        self.send_text(json.dumps(message))

    def receive(self):
        size = 0
        while (line := self.process.stdout.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return json.loads(self.process.stdout.read(size))

    def request(self, method, params):
        self.number += 1
        self.send(method, params, self.number)
        while True:
            message = self.receive()
            if message.get("id") == self.number:
                return message
            self.note(message)

    def note(self, message):
        if message.get("method") == "textDocument/publishDiagnostics":
            self.published[message["params"]["uri"]] = message["params"]["diagnostics"]

    def open(self, uri, text):
        item = {"uri": uri, "languageId": "systemtap", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": item})
        self.note(self.receive())
        return self.published[uri]

    def change(self, uri, text):
        self.send("textDocument/didChange", {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]})
        self.note(self.receive())
        return self.published[uri]

    def at(self, method, uri, text, mark):
        """A request about the place of `mark` in the text."""
        before = text[:text.index(mark)]
        line = before.count("\n")
        units = len(before.split("\n")[-1].encode("utf-16-le")) // 2
        return self.request(f"textDocument/{method}", {
            "textDocument": {"uri": uri}, "position": {"line": line, "character": units}})["result"]


def labels(completion):
    return {item["label"]: item for item in completion["items"]}


def main():
    utrace, tracee = sys.argv[1], os.path.join(os.path.abspath(sys.argv[2]), "points")
    client = Client(utrace, "lsp")
    uri = "file:///tmp/a%20script.stp"
    check(client.request("textDocument/hover", {})["error"]["code"] == -32002, "a request before initialize")
    answer = client.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})["result"]
    check(answer["capabilities"]["hoverProvider"] and answer["serverInfo"]["name"] == "utrace", "initialize", answer)
    client.send("initialized", {})

    good = """global hits
# Twice as much.
function twice(n) { return n * 2 }
probe timer.ms(10)
{
	hits["é", tid()] += twice(1)
	if (strlen(execname()) > 3)
		exit()
}
probe end { foreach ([a, b] in hits) println(a, b, hits[a, b]) }
"""
    check(client.open(uri, good) == [], "a sound script has no diagnostics", client.published)

    # diagnostics, with places
    bad = good.replace("strlen(", "strlenn(")
    found = client.change(uri, bad)
    check(len(found) == 1 and found[0]["severity"] == 1 and "unresolved function strlenn" in found[0]["message"],
          "an unknown function", found)
    place = found[0]["range"]
    check(place["start"] == {"line": 6, "character": 5} and place["end"] == {"line": 6, "character": 12}, "... where it is", place)
    found = client.change(uri, good.replace('+= twice(1)', '+= twice("é", 1 +)'))
    check(any("expected" in d["message"] for d in found), "a parse error", found)
    found = client.change(uri, good.replace('hits["é", tid()] += twice(1)', 'hits["é", tid()] += twicee(1)'))
    check(found and found[0]["range"]["start"]["character"] == 21, "columns are UTF-16 units", found)
    found = client.change(uri, 'probe process.function("f") { exit() }')
    check(len(found) == 1 and found[0]["severity"] == 3, "a bare process is only remarked", found)
    found = client.change(uri, "probe process(\"/nonexistent\").function(\"f\") { exit() }")
    check(found and "/nonexistent: No such file" in found[0]["message"], "a program that is not there", found)
    found = client.change(uri, good.replace("exit()", "unused = 3"))
    check(any(d["severity"] == 2 for d in found), "warnings", found)
    check(client.change(uri, good) == [], "all is well again", client.published)

    # changes of ranges, in UTF-16 units, one after the other
    def splice(*edits):
        changes = [{"range": {"start": {"line": a, "character": b}, "end": {"line": c, "character": d}}, "text": text}
                   for a, b, c, d, text in edits]
        client.send("textDocument/didChange", {"textDocument": {"uri": uri, "version": 3}, "contentChanges": changes})
        client.note(client.receive())
        return client.published[uri]

    client.change(uri, 'probe begin {\n\tprintln("\U0001f600é") exit()\n}\n')
    found = splice((1, 16, 1, 20, "exitt"))
    check(len(found) == 1 and "function exitt " in found[0]["message"], "a range behind characters of two units", found)
    check(splice((1, 16, 1, 21, "exi"), (1, 19, 1, 19, "t"), (2, 0, 2, 0, "\tx = 1\n\tprintln(x)\n")) == [], "several ranges", client.published)
    found = splice((2, 0, 4, 0, ""), (1, 1, 1, 8, "printl"))
    check(len(found) == 1 and found[0]["range"]["start"] == {"line": 1, "character": 1}, "lines are taken away", found)
    check(splice((1, 7, 1, 7, "n"), (999, 0, 999, 9, "# end")) == [], "a place past the end is the end", client.published)
    check(client.change(uri, good) == [], "... and the whole text again", client.published)

    # completion
    items = labels(client.at("completion", uri, good, "len(execname"))
    check("strlen" in items and "exit" not in items and "strlen:long (s:string)" in items["strlen"]["detail"],
          "completion of a function", items)
    text = good + "probe end { twi }"
    client.change(uri, text)
    check("twice" in labels(client.request("textDocument/completion", {
        "textDocument": {"uri": uri}, "position": {"line": text.count("\n"), "character": 15}})["result"]),
          "... of the script's own")
    client.change(uri, good + "probe end { twi")
    check("twice" in labels(client.request("textDocument/completion", {
        "textDocument": {"uri": uri}, "position": {"line": text.count("\n"), "character": 15}})["result"]),
          "... in a text that does not parse")
    for typed, wanted in (("probe ti", "timer"), ("probe timer.", "ms(number)"), ('probe process("/bin/ls").fun', "function(string)"),
                          ('probe process("/bin/ls").function("f").', "return"), ("probe begin, onesh", "oneshot"),
                          ("/* don't \" { */ probe /* a, b = */ ti", "timer")):
        client.change(uri, typed)
        items = labels(client.request("textDocument/completion", {
            "textDocument": {"uri": uri}, "position": {"line": 0, "character": len(typed)}})["result"])
        check(wanted in items, f"completion of a probe point: {typed}", list(items)[:20])
    for typed, wanted in (("probe timer.ms(5) { if (ti", "tid"), ("probe syscall.read { print(f", "fd"),
                          ('probe process("TRACEE").function("branch") { x = $', "$text"),
                          ('probe begin { } probe process("TRACEE").function("branch").return { print($r', "$return"),
                          ('probe mine = process("TRACEE").function("leaf") { d = $d', "$depth"),
                          ('/* } " */ probe process("TRACEE").function("leaf") { /* } */ d = $d', "$depth")):
        typed = typed.replace("TRACEE", tracee)
        client.change(uri, typed)
        items = labels(client.request("textDocument/completion", {
            "textDocument": {"uri": uri}, "position": {"line": 0, "character": len(typed)}})["result"])
        check(wanted in items, f"completion of a variable: {typed}", list(items)[:20])
    typed = 'probe process("%s").function("branch") { x = $' % tracee
    client.change(uri, typed)
    items = labels(client.request("textDocument/completion", {
        "textDocument": {"uri": uri}, "position": {"line": 0, "character": len(typed)}})["result"])
    check(items.get("$text", {}).get("detail") == "char const*", "... with its type", items.get("$text"))
    client.change(uri, good)

    # hover
    for mark, wanted in (("strlen", "function strlen:long (s:string)"), ("twice(1)", "Twice as much."),
                         ("hits[a, b]", "global hits[string, long]:long"), ("execname", "function execname:string ()")):
        answer = client.at("hover", uri, good, mark)
        check(answer and wanted in answer["contents"]["value"], f"hover: {mark}", answer)
    check(client.at("hover", uri, good, "{ return") is None, "hover over nothing")
    tapset = good.replace("exit()", "println(cmdline_str())")
    client.change(uri, tapset)

    # definitions
    answer = client.at("definition", uri, tapset, "twice(1)")
    check(answer["uri"] == uri and answer["range"]["start"] == {"line": 2, "character": 9}, "definition in the script", answer)
    answer = client.at("definition", uri, tapset, "cmdline_str")
    path = answer["uri"][len("file://"):]
    with open(path) as file:
        line = file.read().split("\n")[answer["range"]["start"]["line"]]
    check("function cmdline_str" in line, "definition in the library", answer)
    answer = client.at("definition", uri, tapset, "hits[a, b]")
    check(answer["range"]["start"] == {"line": 0, "character": 7}, "definition of a global", answer)
    names = [s["name"] for s in client.request("textDocument/documentSymbol", {"textDocument": {"uri": uri}})["result"]]
    check(names == ["hits", "twice", "probe timer.ms", "probe end"], "outline", names)

    # what does not belong here
    check(client.request("no/such", {})["error"]["code"] == -32601, "an unknown request")
    client.send("$/whatever", {})
    client.send_text("{broken")
    check(client.receive()["error"]["code"] == -32700, "what is not JSON")
    for text in ("[]", "17", "null", '"text"', "[1, 2]"):
        client.send_text(text)
        check(client.receive()["error"]["code"] in (-32600, -32700), f"what is no request: {text}")
    client.process.stdin.write(b"Content-Type: none\r\n\r\nContent-Length: 0\r\n\r\n")
    for params in (None, [], 5, {}, {"textDocument": 3}, {"textDocument": {"uri": 3}}, {"textDocument": {"uri": uri}},
                   {"textDocument": {"uri": uri}, "position": "here"},
                   {"textDocument": {"uri": uri}, "position": {"line": -5, "character": -5}},
                   {"textDocument": {"uri": uri}, "position": {"line": 10**12, "character": 10**12}}):
        for method in ("hover", "definition", "completion", "documentSymbol"):
            answer = client.request(f"textDocument/{method}", params)
            if "result" not in answer:
                check(False, f"{method} with {params}", answer)
        for method in ("didOpen", "didChange", "didClose"):
            if not (isinstance(params, dict) and params.get("textDocument") == {"uri": uri}):
                client.send(f"textDocument/{method}", params)
    client.send("textDocument/didChange", {"textDocument": {"uri": uri}, "contentChanges": "all"})
    check(client.at("hover", uri, good, "strlen") is not None, "wrong parameters change nothing")
    for text in ("{", "}", "probe", 'probe process("', "probe process.", "%(", "@define a %(", "/*", '"\\', "\x00", "probe a = b { $", "global g[",
                 "function f(", "probe timer.ms(", "%{", "$1", "@1", "probe begin { foreach ([a,", "\ufeffprobe begin {}", "probe *.* { $"):
        client.change(uri, text)
        for place in range(len(text) + 1):
            for method in ("hover", "completion"):
                client.request(f"textDocument/{method}", {"textDocument": {"uri": uri}, "position": {"line": 0, "character": place}})
    check(client.change(uri, good) == [], "texts that are cut off anywhere do no harm", client.published)
    alias = "# Both ends.\nprobe both = begin, end { }\nprobe both { println(1) }\n"
    client.change(uri, alias)
    answer = client.at("definition", uri, alias, "both {")
    check(answer and answer["range"]["start"]["line"] == 1, "definition of an alias", answer)
    answer = client.at("hover", uri, alias, "both {")
    check(answer and "Both ends." in answer["contents"]["value"], "hover: an alias", answer)
    client.send("textDocument/didOpen", {"textDocument": {}})
    check(client.at("hover", "file:///unknown", good, "strlen") is None, "a document that is not open")
    client.send("textDocument/didClose", {"textDocument": {"uri": uri}})
    client.note(client.receive())
    check(client.published[uri] == [], "closing takes the diagnostics away")
    check(client.request("shutdown", None)["result"] is None, "shutdown")
    check("error" in client.request("textDocument/hover", {}), "... nothing is answered any more")
    client.send("exit", None)
    client.process.stdin.close()
    check(client.process.wait() == 0, "exit")
    check(client.process.stderr.read() == b"", "nothing on standard error")

    # with a target, $variables and bare process are checked
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.stp")
        client = Client(utrace, "lsp", "-c", "bash")
        client.request("initialize", {})
        found = client.open(f"file://{path}", 'probe process.function("execute_command") { println($nosuch) }')
        check(found and found[0]["severity"] == 1, "-c: a variable that is not there", found)
        client.process.stdin.close()
        check(client.process.wait() == 1, "a client that goes away without a word")
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
