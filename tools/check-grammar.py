#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The grammar for editors is JSON, its patterns are sound, and its keywords are those of the lexer.

usage: check-grammar.py SOURCE-ROOT
"""
import json
import re
import sys


def patterns(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("match", "begin", "end", "firstLineMatch"):
                yield node.get("name", key), value
            else:
                yield from patterns(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns(value)


def main():
    root = sys.argv[1]
    with open(f"{root}/editors/systemtap.tmLanguage.json") as file:
        grammar = json.load(file)
    with open(f"{root}/src/stap/lexer.h") as file:
        lexer = set(re.findall(r'X\(\w+, "(\w+)"\)', file.read()))
    wrong = []
    for name, pattern in patterns(grammar):
        try:
            re.compile(pattern)
        except re.error as error:
            wrong.append(f"{name}: {error}")
    keywords = set()
    for part in grammar["repository"]["keywords"]["patterns"]:
        keywords |= set(re.fullmatch(r"\\b\((.*)\)\\b", part["match"])[1].split("|"))
    if keywords != lexer:
        wrong.append(f"keywords differ from the lexer's: {sorted(keywords ^ lexer)}")
    included = set(re.findall(r'"#(\w+)"', json.dumps(grammar)))
    if included != set(grammar["repository"]):
        wrong.append(f"parts that are not used, or not there: {sorted(included ^ set(grammar['repository']))}")
    for line in wrong:
        print(line)
    return 1 if wrong or len(lexer) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
