#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Options: --help, the table of stap's options and the man page name the same ones.

usage: check-options.py UTRACE SOURCE-ROOT
"""
import re
import subprocess
import sys


def help_options(utrace):
    """Option to its kind, in the order of --help."""
    text = subprocess.run([utrace, "run", "--help"], capture_output=True, text=True, check=True).stdout
    kinds = {
        "Accepted, with nothing to do:": "accepted, nothing to do",
        "Accepted with a warning:": "accepted with a warning",
        "Not available:": "refused",
    }
    kind, found = "works", {}
    for line in text.split("\n"):
        kind = kinds.get(line, kind)
        match = re.match(r"^ +(-\S.*?)(?:  +.*)?$", line)
        if match:
            found[match.group(1).strip()] = kind
    return found


def names(option):
    return re.findall(r"(?<![\w-])--?[\w-]+", option)


def main():
    utrace, root = sys.argv[1:3]
    options = help_options(utrace)
    with open(f"{root}/docs/stap-options.md") as file:
        rows = re.findall(r"^\| `(.*?)` \| .* \| ([^|]*) \|$", file.read(), re.M)
    table = {option.replace("\\|", "|"): kind for option, kind in rows}
    with open(f"{root}/man/utrace-run.1.scd") as file:
        manual = file.read()
    wrong = [f"{o}: {k} in --help, {table.get(o)} in the table" for o, k in options.items() if table.get(o) != k]
    wrong += [f"{o}: in the table only" for o in table if o not in options]
    for option in options:
        wrong += [f"{n}: not in the man page" for n in names(option) if f"*{n}*" not in manual]
    for line in wrong:
        print(line)
    return 1 if wrong or len(options) < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
