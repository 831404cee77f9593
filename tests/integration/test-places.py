#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Variables at every statement of programs built in many ways, compared with what gdb says at the same place.

usage: test-places.py UTRACE SOURCES [NAME-PATTERN]   (SOURCES: tests/tracees/places)

For each way to build a program gdb stops at (some of) its statements and prints all variables down to scalars
(tests/lib/gdb-places.py).  A script made of those prints the same.  The table counts, for each program:

    same       both know the value, and it is the same
    neither    gdb says "optimized out", and the script says so too
    more       only the script knows it
    less       only gdb knows it: gdb also looks at the callers, which a script cannot.  What they passed in general
               registers is kept at the function's entry instead
    differ     a failure, wherever it is

PLACES_SHOW in the environment: every difference and what is less, with the reason.
"""
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HITS = 2
C_BUILDS = [("gcc", "-O0"), ("gcc", "-O1"), ("gcc", "-O2"), ("gcc", "-O3"), ("gcc", "-Og"), ("gcc", "-O2 -gdwarf-4"),
            ("gcc", "-O0 -gdwarf-4"), ("gcc", "-O2 -gsplit-dwarf"), ("gcc", "-O2 -flto"),
            ("gcc", "-O2 -gdwarf-4 -fdebug-types-section"), ("gcc", "-O2 -fPIC -fno-pie -no-pie"), ("gcc", "-O2 dwz"),
            ("clang", "-O0"), ("clang", "-O1"), ("clang", "-O2"), ("clang", "-O3"), ("clang", "-O2 -gdwarf-4"),
            ("clang", "-O0 -gdwarf-4"), ("clang", "-O2 -gsplit-dwarf")]
CXX_BUILDS = [("g++", "-O0"), ("g++", "-O1"), ("g++", "-O2"), ("g++", "-O2 -gdwarf-4"),
              ("g++", "-O2 -fdebug-types-section"), ("g++", "-O2 -flto"), ("clang++", "-O0"), ("clang++", "-O2"),
              ("clang++", "-O2 -gdwarf-4")]
RUST_BUILDS = [("rustc", "-Copt-level=0"), ("rustc", "-Copt-level=2")]
GO_BUILDS = [("go", ""), ("go", "-gcflags=all=-N")]
PROGRAMS = [("plain.c", C_BUILDS), ("objects.cc", CXX_BUILDS), ("rust.rs", RUST_BUILDS), ("plain.go", GO_BUILDS)]


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", **options)


def build(source, compiler, flags, folder):
    """The program, or None with the reason."""
    program = os.path.join(folder, "program")
    if not shutil.which(compiler):
        return None, f"no {compiler}"
    words = flags.split()
    use_dwz = "dwz" in words
    words = [word for word in words if word != "dwz"]
    if compiler == "rustc":
        command = ["rustc", "-g", *words, "-o", program, source]
    elif compiler == "go":
        command = ["env", "GO111MODULE=off", "CGO_ENABLED=0", "GOCACHE=" + os.path.join(folder, "cache"), "go",
                   "build", *words, "-ldflags=-compressdwarf=false", "-o", program, source]
    else:
        command = [compiler, "-g", *words, "-w", "-o", program, source]
    done = run(command, cwd=folder)
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "does not compile"
    if use_dwz and (not shutil.which("dwz") or run(["dwz", program]).returncode):
        return None, "no dwz"
    return program, None


def ask_gdb(program, source, most):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib", "gdb-places.py")
    environment = dict(os.environ, PLACES_SOURCE=os.path.basename(source), PLACES_HITS=str(HITS), PLACES_MAX=str(most))
    if source.endswith((".go", ".rs")):
        environment["PLACES_ENTRY"] = "main.main" if source.endswith(".go") else "rust::main"
    done = run(["gdb", "-nx", "-batch", "-x", script, program], cwd=os.path.dirname(program), env=environment)
    places = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{\"pc\"")]
    return places, done.stderr


def make_script(program, places):
    paths = {}
    for place in places:
        for path in place["values"]:
            paths.setdefault(place["pc"], {})[path] = True
    lines = ["global hits"]
    for pc, names in sorted(paths.items()):
        lines.append(f'probe process("{program}").statement({pc:#x}) {{ if (++hits[{pc}] > {HITS}) next')
        lines.append(f'printf("@ {pc} %d\\n", hits[{pc}])')
        for name in names:
            lines.append(f'if (@defined({name})) {{ try {{ printf("{name} %x\\n", {name}) }} '
                         f'catch {{ printf("{name} fault\\n") }} }} else printf("{name} undefined\\n")')
        lines.append("}")
    return "\n".join(lines) + "\n"


def ask_utrace(utrace, program, places, folder):
    script = os.path.join(folder, "script.stp")
    with open(script, "w") as file:
        file.write(make_script(program, places))
    done = run([utrace, "run", "-w", "-DMAXACTION=100000", script, "-c", "setarch -R " + program], cwd=folder)
    answers, current = {}, None
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "@":
            current = answers.setdefault((int(words[1]), int(words[2])), {})
        elif current is not None and len(words) == 2 and words[0].startswith("$"):
            current[words[0]] = words[1]
    return answers, done.stderr


def compare(want, got):
    if got in (None, "undefined", "fault"):
        return "neither" if want in ("optimized", "unavailable") else "less"
    if want in ("optimized", "unavailable"):
        return "more"
    value = int(got, 16)
    if want in ("set", "null"):
        return "same" if (value != 0) == (want == "set") else "differ"
    return "same" if value == want else "differ"


def explain(utrace, program, pc, path):
    """Why the script cannot see it."""
    done = run([utrace, "run", "-p2", "-e", f'probe process("{program}").statement({pc:#x}) {{ println({path}) }}'])
    found = re.search(r"semantic error: (.*)", done.stderr)
    return found.group(1)[:150] if found else "?"


def check(utrace, source, compiler, flags, most):
    counts = dict.fromkeys(("same", "neither", "more", "less", "differ"), 0)
    remarks = []
    with tempfile.TemporaryDirectory() as folder:
        program, reason = build(source, compiler, flags, folder)
        if not program:
            return None, reason
        places, gdb_errors = ask_gdb(program, source, most)
        answers, errors = ask_utrace(utrace, program, places, folder)
        if not places:
            return counts, ["gdb said nothing: " + gdb_errors[-300:]]
        if not answers:
            return counts, ["the script said nothing: " + errors[-600:]]
        for place in places:
            mine = answers.get((place["pc"], place["hit"]))
            for path, want in place["values"].items():
                if mine is None:
                    counts["less"] += 1
                    remarks.append(f"not reached: {place['pc']:#x} line {place['line']} hit {place['hit']}")
                    continue
                got = mine.get(path)
                result = compare(want, got)
                if result == "differ" and re.split(r"->|\[", path)[0] in place["unsure"]:
                    result = "more"
                counts[result] += 1
                if result == "differ" or (result == "less" and os.environ.get("PLACES_SHOW")):
                    text = f"{result} {place['pc']:#x} line {place['line']} hit {place['hit']} {path}: gdb " \
                           f"{want if isinstance(want, str) else hex(want)}, script {got}"
                    if result == "less":
                        text += ": " + explain(utrace, program, place["pc"], path)
                    remarks.append(text)
    return counts, list(dict.fromkeys(remarks))


def main():
    utrace, sources = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    pattern = sys.argv[3] if len(sys.argv) > 3 else "*"
    most = int(os.environ.get("PLACES_MAX", "60"))
    if not shutil.which("gdb") or run(["gdb", "-nx", "-batch", "-ex", "python print(1)"]).stdout.strip() != "1":
        print("1..0 # SKIP no gdb with python")
        return 77
    number, failed, total = 0, 0, {}
    for name, builds in PROGRAMS:
        for compiler, flags in builds:
            title = f"{name} {compiler} {flags}".strip()
            if not fnmatch.fnmatch(title, pattern):
                continue
            number += 1
            counts, remarks = check(utrace, os.path.join(sources, name), compiler, flags, most)
            if counts is None:
                print(f"ok {number} - {title} # SKIP {remarks}", flush=True)
                continue
            good = counts["differ"] == 0 and counts["same"] > 0
            failed += not good
            for key, count in counts.items():
                total[key] = total.get(key, 0) + count
            text = ", ".join(f"{key} {count}" for key, count in counts.items())
            print(f"{'ok' if good else 'not ok'} {number} - {title}: {text}", flush=True)
            for remark in remarks[:int(os.environ.get("PLACES_SHOW") or 5)]:
                print("# " + remark, flush=True)
    print("# all: " + ", ".join(f"{key} {count}" for key, count in total.items()))
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
