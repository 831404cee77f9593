#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fail when no script of tests/conformance calls a function of the library.

usage: check-tapset.py UTRACE ROOT
"""
import pathlib
import re
import subprocess
import sys



def main():
    utrace, root = sys.argv[1], pathlib.Path(sys.argv[2])
    out = subprocess.run([utrace, "run", "--dump-functions"], capture_output=True, text=True, check=True).stdout
    known = {match[1] for match in re.finditer(r"^(?:/\*.*?\*/ ?)?([A-Za-z_0-9]+):", out, re.M)}
    scripts = [path.read_text(errors="replace") for path in (root / "tests/conformance").rglob("*.stp")]
    called = {name for text in scripts for name in re.findall(r"\b([A-Za-z_0-9]+)\s*\(", text)}
    missing = sorted(known - called)
    for name in missing:
        print(f"{name}(): no script in tests/conformance calls it")
    if len(known) < 300:
        print(f"only {len(known)} functions are listed")
    sys.exit(1 if missing or len(known) < 300 else 0)


main()
