#!/usr/bin/env python3
"""Count the checks of a meson test log; the last line is what people and machines read."""
import json
import re
import sys


def count(test):
    """(passed, failed, skipped) of one test program."""
    result, output = test["result"], test.get("stdout", "")
    rows = re.findall(r"^(ok|not ok)\b(.*)$", output, re.M)
    passed = sum(1 for kind, rest in rows if kind == "ok" and "# SKIP" not in rest)
    skipped = sum(1 for kind, rest in rows if kind == "ok" and "# SKIP" in rest)
    failed = sum(1 for kind, _ in rows if kind == "not ok")
    if result == "SKIP":
        return passed, failed, max(skipped, 1)
    if result in ("OK", "EXPECTEDFAIL"):
        return (passed, failed, skipped) if rows else (1, 0, 0)
    return passed, max(failed, 1), skipped


def main():
    total = [0, 0, 0]
    try:
        with open(sys.argv[1]) as log:
            tests = [json.loads(line) for line in log if line.strip()]
    except OSError as error:
        print(f"no test ran: {error}")
        tests = []
    for test in tests:
        counts = count(test)
        total = [a + b for a, b in zip(total, counts)]
        if counts[1]:
            print(f"FAILED: {test['name']} ({counts[1]})")
            for row in re.findall(r"^not ok\b.*(?:\n#.*){0,9}", test.get("stdout", ""), re.M):
                print(row)
        for why in re.findall(r"^ok\b.*# SKIP (.*)$", test.get("stdout", ""), re.M):
            print(f"skipped: {test['name']}: {why}")
    passed, failed, skipped = total
    if not tests:
        failed = 1
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


main()
