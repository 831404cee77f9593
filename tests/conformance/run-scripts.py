#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the scripts of tests/conformance/run and compares what they print.

usage: run-scripts.py [--nobody] UTRACE FOLDER TRACEES [NAME...]

--nobody: as an ordinary user, when started by root; skipped where that user cannot read the files.

NAME.stp must print NAME.out (no such file: nothing) on standard output and NAME.err (no such
file: nothing) on standard error.  Lines at its start say how it is run:

    #@ opts -g -DMAXACTION=10      options
    #@ args one 2                  script arguments
    #@ cmd counter 1 5             -c with a program of tests/tracees, or any other
    #@ exit 1                      exit status, 0 if not given
    #@ sorted                      the lines of standard output may come in any order
    #@ needs FILE                  skipped where there is no such file

The folder TRACEES reads as "TRACEES" in what is printed.
With UPDATE_EXPECTED in the environment the expected files are written instead: look at them.
"""
import os
import shlex
import subprocess
import sys


RUN_AS = []  # in front of each command
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", "env", "-u", "HOME"]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


class Script:
    def __init__(self, folder, tracees, name):
        self.base = os.path.join(folder, name)
        self.folder, self.name = folder, name
        self.tracees = tracees
        self.options, self.arguments, self.needs = [], [], []
        self.status, self.is_sorted = 0, False
        with open(self.base + ".stp", errors="surrogateescape") as file:
            for line in file:
                if not line.startswith("#@ "):
                    break
                word, _, rest = line[3:].strip().partition(" ")
                self.read_option(word, rest, tracees)

    def read_option(self, word, rest, tracees):
        if word == "opts":
            self.options += shlex.split(rest)
        elif word == "args":
            self.arguments += shlex.split(rest)
        elif word == "cmd":
            program = os.path.join(tracees, rest.split(" ")[0])
            self.options += ["-c", os.path.join(tracees, rest) if os.path.exists(program) else rest]
        elif word == "exit":
            self.status = int(rest)
        elif word == "sorted":
            self.is_sorted = True
        elif word == "needs":
            self.needs.append(rest)
        else:
            raise SystemExit(f"{self.name}: unknown word {word}")

    def missing(self):
        return [path for path in self.needs if not os.path.exists(path)]

    def run(self, utrace):
        command = [*RUN_AS, utrace, "run", *self.options, self.name + ".stp", *self.arguments]
        done = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True)
        out = done.stdout
        if self.is_sorted:
            out = b"".join(sorted(out.splitlines(keepends=True)))
        # pp() tells where a program lies
        place = self.tracees.encode()
        return out.replace(place, b"TRACEES"), done.stderr.replace(place, b"TRACEES"), done.returncode

    def update(self, out, err):
        for suffix, text in ((".out", out), (".err", err)):
            if text:
                with open(self.base + suffix, "wb") as file:
                    file.write(text)
            elif os.path.exists(self.base + suffix):
                os.remove(self.base + suffix)


def comment(what, text):
    for line in text.decode(errors="replace").split("\n"):
        print(f"# {what}: {line}")


def check(script, number, utrace):
    if script.missing():
        print(f"ok {number} - {script.name} # SKIP no {script.missing()[0]}")
        return True
    out, err, status = script.run(utrace)
    if "UPDATE_EXPECTED" in os.environ:
        script.update(out, err)
    want_out, want_err = read(script.base + ".out"), read(script.base + ".err")
    good = (out, err, status) == (want_out, want_err, script.status)
    print(f"{'ok' if good else 'not ok'} {number} - {script.name}")
    if out != want_out:
        comment("got", out)
        comment("want", want_out)
    if err != want_err:
        comment("got on stderr", err)
        comment("want on stderr", want_err)
    if status != script.status:
        print(f"# status {status}, want {script.status}")
    return good


def become_nobody(paths):
    """Return: the reason why not, None."""
    if os.getuid() != 0:
        return "started by an ordinary user: the other tests are these"
    RUN_AS.extend(NOBODY)
    for path in paths:
        if subprocess.run([*RUN_AS, "test", "-x", path], stderr=subprocess.DEVNULL).returncode:
            return f"nobody may not use {path}"
    return None


def main():
    arguments = [word for word in sys.argv[1:] if word != "--nobody"]
    utrace, folder, tracees = (os.path.abspath(path) for path in arguments[:3])
    reason = become_nobody([utrace, folder, tracees]) if "--nobody" in sys.argv else None
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    names = arguments[3:] or sorted(name[:-4] for name in os.listdir(folder) if name.endswith(".stp"))
    failed = sum(not check(Script(folder, tracees, name), i + 1, utrace) for i, name in enumerate(names))
    print(f"1..{len(names)}")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
