#!/usr/bin/env python3
"""Fail when a file includes a header of a layer that its own layer may not use.

The table is `layer_deps` in src/meson.build: the build and this check read the same lines.
"""
import ast
import pathlib
import re
import sys


def table(root):
    text = (root / "src" / "meson.build").read_text()
    body = re.search(r"^layer_deps = (\{.*?^\})", text, re.M | re.S).group(1)
    return {name: set(deps) for name, deps in ast.literal_eval(body).items()}


def main():
    root = pathlib.Path(sys.argv[1])
    allowed = table(root)
    bad = 0
    for path in sorted((root / "src").rglob("*.[chS]")):
        layer = path.relative_to(root / "src").parts[0]
        if layer not in allowed:
            print(f"{path}: folder {layer}/ is not in the layer table of src/meson.build")
            bad = 1
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            used = re.match(r'#include "([a-z_0-9]+)/', line)
            if used and used[1] != layer and used[1] not in allowed[layer]:
                print(f"{path}:{number}: {layer}/ may not include {used[1]}/")
                bad = 1
    sys.exit(bad)


main()
