#!/usr/bin/env python3
"""Compare the executable mappings of a process with their files, and look for leftovers of utrace.

usage: text-state.py PID [PATH-SUBSTRING]; prints "same", or one line per difference.
"""
import os
import sys


def task_with_memory(pid):
    """A leader that has exited before its threads has no memory any more."""
    for task in [pid] + os.listdir(f"/proc/{pid}/task"):
        if os.path.exists(f"/proc/{task}/exe"):
            return task
    return pid


def main():
    pid, want = task_with_memory(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    found = []
    with open(f"/proc/{pid}/maps") as maps:
        lines = maps.read().splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in lines:
            fields = line.split(None, 5)
            span, perms, offset = fields[0], fields[1], int(fields[2], 16)
            path = fields[5] if len(fields) > 5 else ""
            start, end = (int(x, 16) for x in span.split("-"))
            if "utrace" in path:
                found.append(f"left: {line}")
            if "x" not in perms or not path.startswith("/") or want not in path:
                continue
            with open(f"/proc/{pid}/root{path}", "rb") as file:
                file.seek(offset)
                text = file.read(end - start)
            memory.seek(start)
            live = memory.read(end - start)[: len(text)]
            if live != text:
                at = next(i for i in range(len(text)) if live[i] != text[i])
                found.append(f"differs: {path} at {offset + at:#x}")
    print("\n".join(found) if found else "same")


main()
