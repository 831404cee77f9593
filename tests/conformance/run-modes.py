#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs scripts of tests/conformance several times in each mode: what they print must be the same.

usage: run-modes.py UTRACE CONFORMANCE TRACEES [ROUNDS]

The expected output is that of run-scripts.py, which the first of all runs is compared with.
"""
import importlib.util
import os
import sys

NAMES = [
    "run/arrays-keys", "run/arrays-overflow", "run/calls-counted", "run/conditions", "run/context-functions", "run/embedded", "run/embedded-memory",
    "run/foreach-order",
    "run/functions-overloaded", "run/globals-shown-at-end", "run/histograms", "run/long-handler", "run/maxaction-target",
    "run/operators-integer", "run/print-family", "run/process-events", "run/process-exec", "run/process-exec-returns", "run/process-syscall",
    "run/process-syscall-counts", "run/statistics", "run/values-vector", "run/values-write", "run/try-catch", "tapset/context", "tapset/indent",
    "tapset/memory-numbers", "tapset/memory-strings", "tapset/rest", "tapset/registers", "tapset/set-arguments", "tapset/strings",
]


def load_runner():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run-scripts.py")
    spec = importlib.util.spec_from_file_location("run_scripts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    utrace, root, tracees = (os.path.abspath(path) for path in sys.argv[1:4])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    runner = load_runner()
    number, failed = 0, 0
    for name in NAMES:
        folder = os.path.join(root, os.path.dirname(name))
        script = runner.Script(folder, tracees, os.path.basename(name))
        want = (runner.read(script.base + ".out"), runner.read(script.base + ".err"), script.status)
        options = list(script.options)
        for mode in ("inject", "ptrace"):
            number += 1
            script.options = [f"--mode={mode}", *options]
            runs = [script.run(utrace) for _ in range(rounds)]
            good = all(run == want for run in runs)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {name}, {mode}, {rounds} times")
            for run in [run for run in runs if run != want][:1]:
                runner.comment("got", run[0])
                runner.comment("want", want[0])
                runner.comment("got on stderr", run[1])
                runner.comment("want on stderr", want[1])
                print(f"# status {run[2]}, want {want[2]}")
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
