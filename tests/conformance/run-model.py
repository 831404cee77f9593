#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random sequences of operations on arrays and statistics, against a simple model.

usage: run-model.py UTRACE TRACEES [SEEDS [FIRST]]

Each seed gives one script: arrays of one to three keys, some wrapping, and statistics; assignments, additions, deletions
of elements, slices and whole arrays, membership, sorted foreach with limits and slices.  It runs in the tracer (begin),
in a process, and in the tracer for a process (--mode=ptrace); all three must print what the model says.
The last tests have threads add to arrays and statistics at once.
"""
import os
import random
import subprocess
import sys

WORDS = ["", "a", "b", "aa", "zz", "Z", "a longer key of some size", "\\n"]
MASK = (1 << 64) - 1


def signed(value):
    value &= MASK
    return value - (1 << 64) if value >> 63 else value


def divide(left, right):
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


class Stat:
    """What `<<<` accumulates; the variance as SystemTap computes it, in shifted integers."""

    def __init__(self, shift):
        self.count = self.sum = self.mean = self.squares = 0
        self.min = self.max = None
        self.shift = shift
        self.values = []

    def add(self, value):
        scaled = signed(value << self.shift)
        self.count += 1
        self.sum = signed(self.sum + value)
        self.min = value if self.min is None else min(self.min, value)
        self.max = value if self.max is None else max(self.max, value)
        delta = scaled - self.mean
        self.mean += divide(delta, self.count)
        self.squares += delta * (scaled - self.mean)
        self.values.append(value)

    def variance(self):
        if self.count < 2:
            return 0
        return divide(self.squares, self.count - 1) >> (2 * self.shift)

    def read(self, op):
        return {"count": self.count, "sum": self.sum, "min": self.min, "max": self.max,
                "avg": divide(self.sum, self.count) if self.count else None, "variance": self.variance()}[op]


class Array:
    def __init__(self, name, kinds, value_kind, size, wrap, shift):
        self.name, self.kinds, self.value_kind = name, kinds, value_kind
        self.size, self.wrap, self.shift = size, wrap, shift
        self.rows = []  # [key, value], oldest first

    def declaration(self):
        return f"{self.name}{'%' if self.wrap else ''}[{self.size}]"

    def find(self, key):
        for row in self.rows:
            if row[0] == key:
                return row
        return None

    def default(self):
        return {"long": 0, "string": "", "stat": None}[self.value_kind]

    def slot(self, key):
        row = self.find(key)
        if row:
            return row
        if len(self.rows) == self.size:
            self.rows.pop(0)
        row = [key, Stat(self.shift) if self.value_kind == "stat" else self.default()]
        self.rows.append(row)
        return row

    def is_full_for(self, key):
        return not self.wrap and len(self.rows) == self.size and not self.find(key)


class Script:
    """Writes the operations of one seed, and what they print."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.body, self.output = [], []
        self.arrays = [self.make_array(i) for i in range(4)]
        self.steps = 0
        for _ in range(120):
            self.step(self.random.choice(self.arrays))

    def make_array(self, i):
        pick = self.random
        kinds = [pick.choice(["long", "string"]) for _ in range(pick.randint(1, 3))]
        value_kind = ["long", "stat", "string", "long"][i]
        return Array(f"a{i}", kinds, value_kind, pick.choice([3, 8, 40]), i == 3 or pick.random() < 0.3,
                     pick.choice([0, 3, 9]))

    def part(self, kind):
        return self.random.randint(-2, 5) if kind == "long" else self.random.choice(WORDS)

    def key(self, array):
        return tuple(self.part(kind) for kind in array.kinds)

    @staticmethod
    def text(part):
        return str(part) if isinstance(part, int) else f'"{part}"'

    @staticmethod
    def shown(part):
        return str(part) if isinstance(part, int) else part.replace("\\n", "\n")

    def order(self, part):
        return self.shown(part).encode() if isinstance(part, str) else part

    def index(self, key):
        return "[" + ", ".join("*" if part is None else self.text(part) for part in key) + "]"

    def emit(self, text):
        self.body.append(text + ";")

    def say(self, *parts):
        self.output.append(" ".join(self.shown(part) for part in parts) + "\n")

    def step(self, array):
        choices = [self.change] * 6 + [self.read] * 2 + [self.member, self.delete, self.slice_member, self.slice_delete,
                                                         self.walk, self.walk, self.walk]
        if self.random.random() < 0.03:
            choices = [self.clear]
        self.random.choice(choices)(array)

    def change(self, array):
        key = self.key(array)
        if array.is_full_for(key):
            return
        row = array.slot(key)
        place = array.name + self.index(key)
        if array.value_kind == "stat":
            for _ in range(self.random.randint(1, 4)):
                value = self.random.choice([self.random.randint(-9, 9), self.random.randint(-10**6, 10**6)])
                row[1].add(value)
                self.emit(f"{place} <<< {value}")
        elif array.value_kind == "string":
            word = self.random.choice(WORDS)
            if self.random.random() < 0.5 and len(row[1]) < 100:
                row[1] += word
                self.emit(f'{place} .= "{word}"')
            else:
                row[1] = word
                self.emit(f'{place} = "{word}"')
        else:
            self.change_number(row, place)

    def change_number(self, row, place):
        value = self.random.choice([self.random.randint(-5, 5), self.random.randint(-2**62, 2**62)])
        how = self.random.choice(["=", "+=", "-=", "^=", "++", "post"])
        if how == "=":
            row[1] = value
        elif how == "+=":
            row[1] = signed(row[1] + value)
        elif how == "-=":
            row[1] = signed(row[1] - value)
        elif how == "^=":
            row[1] = signed(row[1] ^ value)
        elif how == "++":
            row[1] = signed(row[1] + 1)
        else:
            old, row[1] = row[1], signed(row[1] - 1)
            self.emit(f"println({place}--)")
            self.say(old)
            return
        self.emit(f"++{place}" if how == "++" else f"{place} {how} ({value})")

    def value_texts(self, array, place):
        """Expressions that show one element."""
        if array.value_kind != "stat":
            return [place]
        return [f"@{op}({place}{', ' + str(array.shift) if op == 'variance' else ''})"
                for op in ("count", "sum", "min", "max", "avg", "variance")]

    def values(self, array, value):
        if array.value_kind != "stat":
            return [value]
        return [value.read(op) for op in ("count", "sum", "min", "max", "avg", "variance")]

    def read(self, array):
        key = self.key(array)
        row = array.find(key)
        if array.value_kind == "stat" and not row:
            self.emit(f"println(@count({array.name}{self.index(key)}))")
            self.say(0)
            return
        shown = ', " ", '.join(self.value_texts(array, array.name + self.index(key)))
        self.emit(f"println({shown})")
        self.say(*self.values(array, row[1] if row else array.default()))

    def member(self, array):
        key = self.key(array)
        self.emit(f"println({self.index(key)} in {array.name})")
        self.say(1 if array.find(key) else 0)

    def delete(self, array):
        key = self.random.choice(array.rows)[0] if array.rows and self.random.random() < 0.7 else self.key(array)
        array.rows = [row for row in array.rows if row[0] != key]
        self.emit(f"delete {array.name}{self.index(key)}")

    def clear(self, array):
        array.rows = []
        self.emit(f"delete {array.name}")

    def pattern(self, array):
        return tuple(None if self.random.random() < 0.6 else self.part(kind) for kind in array.kinds)

    @staticmethod
    def matches(key, pattern):
        return all(want is None or want == part for part, want in zip(key, pattern))

    def slice_member(self, array):
        pattern = self.pattern(array)
        self.emit(f"println({self.index(pattern)} in {array.name})")
        self.say(1 if any(self.matches(row[0], pattern) for row in array.rows) else 0)

    def slice_delete(self, array):
        if self.random.random() < 0.5:
            return
        pattern = self.pattern(array)
        array.rows = [row for row in array.rows if not self.matches(row[0], pattern)]
        self.emit(f"delete {array.name}{self.index(pattern)}")

    def walk(self, array):
        names = [f"k{i}_{len(self.body)}" for i in range(len(array.kinds))]
        marks = [""] * len(names)
        name, sort = array.name, None
        by = self.random.randint(-2, len(names))
        sign = self.random.choice("+-")
        if 0 <= by < len(names):
            marks[by] = sign
            sort = lambda row: self.order(row[0][by])  # noqa: E731
        elif by == len(names):
            op = self.random.choice(["count", "sum", "min", "max", "avg"])
            name += f" @{op}{sign}" if array.value_kind == "stat" else sign
            if array.value_kind == "stat":
                sort = lambda row: row[1].read(op)  # noqa: E731
            else:
                sort = lambda row: self.order(row[1])  # noqa: E731
        pattern = self.pattern(array) if self.random.random() < 0.3 and by < len(names) else None
        if pattern:
            name += self.index(pattern)
        limit = self.random.choice([None, None, 0, 1, 2, 5, 100])
        if sort and limit != 0:  # nothing is sorted where nothing is shown
            array.rows.sort(key=sort, reverse=sign == "-")
        keys = ", ".join(word + mark for word, mark in zip(names, marks))
        place = f"{array.name}[{', '.join(names)}]"
        shown = ', " ", '.join(names + self.value_texts(array, place))
        self.emit(f"foreach ([{keys}] in {name}{'' if limit is None else f' limit {limit}'}) println({shown})")
        rows = [row for row in array.rows if not pattern or self.matches(row[0], pattern)]
        for key, value in rows[:limit]:
            self.say(*key, *self.values(array, value))

    def source(self, point):
        """In functions: a handler's own stack is small."""
        lines = ["global " + ", ".join(array.declaration() for array in self.arrays)]
        calls = []
        for start in range(0, len(self.body), 6):
            calls.append(f"part{start}()")
            lines += [f"function {calls[-1]} {{", *self.body[start:start + 6], "}"]
        return "\n".join(lines + [f"probe {point} {{", *calls, "exit()", "}"]) + "\n"


def run(utrace, options, source, program):
    command = [utrace, "run", "-w", "-DMAXACTION=1000000", *options, "-e", source, "-c", program]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout, done.stderr


def show_difference(got, want):
    got, want = got.splitlines(), want.splitlines()
    for i, (left, right) in enumerate(zip(got + ["(end)"], want + ["(end)"])):
        if left != right:
            return f"line {i + 1}: got '{left}', want '{right}'"
    return "one is longer"


def calls_of(thread, calls):
    """KEEP IN SYNC: tests/tracees/adding.c"""
    state = thread + 1
    for _ in range(calls):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        key = (state >> 33) % 17
        value = (state >> 40) % 1000 - 500
        yield key, value, ["zero", "one", "two", "three"][key & 3]


THREADS_SCRIPT = """
global n, hits, sums, names, s, by_key, pairs%[100], largest, text
probe process.function("add") {
    n++
    hits[$key]++
    sums[$key] += $value
    name = user_string($name)
    names[name] += 1
    s <<< $value
    by_key[$key, name] <<< $value
    pairs[$key, $value] = $key * 1000 + $value
    if ($value > largest) largest = $value
    text = name
}
probe end {
    println(n)
    foreach (k+ in hits) println(k, " ", hits[k], " ", sums[k])
    foreach (w- in names) println(w, " ", names[w])
    println(@count(s), " ", @sum(s), " ", @min(s), " ", @max(s), " ", @avg(s))
    foreach ([k+, w] in by_key limit 5)
        println(k, " ", w, " ", @count(by_key[k, w]), " ", @sum(by_key[k, w]), " ", @max(by_key[k, w]), " ",
            @hist_linear(by_key[k, w], -500, 500, 100)[3])
    bad = 0
    elements = 0
    foreach ([k, v] in pairs) { elements++; if (pairs[k, v] != k * 1000 + v) bad++ }
    println(elements, " ", bad, " ", largest, " ", strlen(text) > 2)
}
"""


def threads_model(threads, calls):
    hits, sums, names, by_key, every, pairs = {}, {}, {}, {}, [], set()
    for thread in range(threads):
        for key, value, name in calls_of(thread, calls):
            hits[key] = hits.get(key, 0) + 1
            sums[key] = sums.get(key, 0) + value
            names[name] = names.get(name, 0) + 1
            by_key.setdefault((key, name), []).append(value)
            every.append(value)
            pairs.add((key, value))
    lines = [f"{len(every)}"]
    lines += [f"{key} {hits[key]} {sums[key]}" for key in sorted(hits)]
    lines += [f"{name} {names[name]}" for name in sorted(names, reverse=True)]
    lines.append(f"{len(every)} {sum(every)} {min(every)} {max(every)} {divide(sum(every), len(every))}")
    for (key, name), values in sorted(by_key.items())[:5]:
        bucket = sum(1 for value in values if -300 <= value < -200)
        lines.append(f"{key} {name} {len(values)} {sum(values)} {max(values)} {bucket}")
    lines.append(f"{min(100, len(pairs))} 0 {max(max(every), 0)} 1")
    return "\n".join(lines) + "\n"


def main():
    utrace, tracees = (os.path.abspath(path) for path in sys.argv[1:3])
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    number = failed = 0

    def report(good, name, detail):
        nonlocal number, failed
        number += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
        if not good:
            print("# " + detail.replace("\n", "\n# "), flush=True)

    values = os.path.join(tracees, "values")
    ways = [("begin", []), ('process.function("use")', []), ('process.function("use")', ["--mode=ptrace"])]
    for seed in range(first, first + seeds):
        script = Script(seed)
        want = "".join(script.output)
        for point, options in ways:
            got, errors = run(utrace, options, script.source(point), values)
            report(got == want, " ".join([f"seed {seed}", point, *options]),
                   show_difference(got, want) + "\n" + errors[:600])
    for threads, calls, options in ((1, 500, []), (4, 5000, []), (16, 2000, []), (4, 150, ["--mode=ptrace"])):
        # a holder of a lock that has lost its processor is waited for, however long: no hit is skipped
        got, errors = run(utrace, [*options, "-DMAXTRYLOCK=1000000"], THREADS_SCRIPT, f"{os.path.join(tracees, 'adding')} {threads} {calls}")
        want = threads_model(threads, calls)
        report(got == want, " ".join([f"{threads} threads, {calls} calls", *options]),
               show_difference(got, want) + "\n" + errors[:600])
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
