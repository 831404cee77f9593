# SPDX-License-Identifier: MIT
"""Runs inside gdb: prints, as lines of JSON, what every variable is at every statement of a source file.

gdb -batch -x gdb-places.py PROGRAM, with PLACES_SOURCE (the file's base name), PLACES_HITS (of each place) and
PLACES_MAX (places) in the environment.  Values are the 64 bits that a script would see; of pointers only
whether they are null.
"""
import json
import os
import struct

import gdb

MASK = (1 << 64) - 1
DEPTH = 3
SCALARS = (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM)
POINTERS = (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF)


def is_compound(kind):
    return kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION)


def float_bits(value):
    form, whole = ("<f", "<I") if value.type.sizeof == 4 else ("<d", "<Q")
    return struct.unpack(whole, struct.pack(form, float(value)))[0]


class Flattener:
    def __init__(self):
        self.values = {}

    def add(self, path, value, depth):
        try:
            self.flatten(path, value, depth)
        except gdb.error:
            self.values[path] = "unavailable"

    def flatten(self, path, value, depth):
        kind = value.type.strip_typedefs()
        if value.is_optimized_out and not is_compound(kind) and kind.code != gdb.TYPE_CODE_ARRAY:
            self.values[path] = "optimized"
        elif kind.code in SCALARS:
            if kind.sizeof <= 8:
                self.values[path] = int(value) & MASK
        elif kind.code == gdb.TYPE_CODE_FLT:
            if kind.sizeof in (4, 8):
                self.values[path] = float_bits(value)
        elif kind.code in POINTERS:
            self.pointer(path, value, kind, depth)
        elif is_compound(kind):
            self.members(path, value, kind, depth)
        elif kind.code == gdb.TYPE_CODE_ARRAY:
            self.elements(path, value, kind, depth)

    def pointer(self, path, value, kind, depth):
        target = kind.target().strip_typedefs()
        is_reference = kind.code != gdb.TYPE_CODE_PTR
        if not is_reference:
            self.values[path] = "set" if int(value) else "null"
            if not int(value):
                return
        if depth <= 0:
            return
        if is_reference:  # a script sees the address
            if is_compound(target):
                self.add(path, value.referenced_value(), depth)
        elif is_compound(target):
            self.add(path, value.dereference(), depth - 1)
        elif target.code in SCALARS + (gdb.TYPE_CODE_FLT,):
            self.add(path + "[0]", value.dereference(), depth - 1)

    def members(self, path, value, kind, depth):
        if depth <= 0:
            return
        for field in kind.fields():
            if not hasattr(field, "bitpos"):
                continue  # static
            if field.is_base_class or (not field.name and is_compound(field.type.strip_typedefs())):
                self.add(path, value[field], depth)
            elif not field.name:  # which variant of a Rust enum it is
                number = int(value[field]) & MASK
                self.values[f"{path}->__discriminant"] = number if number < 1 << 32 else "set"
            elif field.name.startswith("_vptr") or field.artificial:
                continue
            else:
                self.add(f"{path}->{field.name}", value[field], depth - 1)

    def elements(self, path, value, kind, depth):
        try:
            low, high = kind.range()
        except gdb.error:
            return
        for index in sorted({low, high}):
            if 0 <= index <= high and high < 4096:
                self.add(f"{path}[{index}]", value[index], depth - 1)


def variables_at(frame, pc, line):
    """Locals count from behind the line of their declaration on: before it they are whatever was there."""
    seen, result = set(), Flattener()
    at_entry = is_entry(pc)
    block = gdb.block_for_pc(pc)
    while block and not block.is_static and not block.is_global:
        for symbol in block:
            if not (symbol.is_argument or symbol.is_variable) or symbol.name in seen \
                    or symbol.name.startswith("__for_"):
                continue
            seen.add(symbol.name)
            if not symbol.name.replace("_", "a").isalnum() or (
                    not symbol.is_argument and symbol.addr_class != gdb.SYMBOL_LOC_STATIC and (at_entry or symbol.line >= line)):
                continue
            try:
                value = symbol.value(frame)
            except (gdb.error, RuntimeError, TypeError):
                result.values["$" + symbol.name] = "unavailable"
                continue
            result.add("$" + symbol.name, value, DEPTH)
        if block.function:
            break
        block = block.superblock
    return result.values


def is_entry(pc):
    block = gdb.block_for_pc(pc)
    while block and not block.function:
        block = block.superblock
    return bool(block) and block.start == pc


def unsure_at(pc):
    """Arguments that gdb looks for, at a function's entry, in the slot that the prologue has yet to fill."""
    if not is_entry(pc):
        return []
    scope = gdb.execute(f"info scope *{pc:#x}", to_string=True)
    return ["$" + line.split()[1] for line in scope.splitlines()
            if line.startswith("Symbol ") and "multi-location" not in line]


def statement_addresses(source):
    """Addresses of the file's rows that are statements inside of functions."""
    found = {}
    for line in gdb.execute("maint info line-table " + source, to_string=True).splitlines():
        words = line.split()
        if line.startswith("symtab:"):
            current = line.split("symtab:")[1].split("((")[0].strip()
        if len(words) < 4 or not words[0].isdigit() or not words[2].startswith("0x") or "Y" not in words[3:]:
            continue
        if os.path.basename(current) == source and words[1] != "END":
            found.setdefault(int(words[2], 16), int(words[1]))
    return found


def main():
    source = os.environ["PLACES_SOURCE"]
    hits, most = int(os.environ["PLACES_HITS"]), int(os.environ["PLACES_MAX"])
    for setting in ("pagination off", "confirm off", "print elements 20", "disable-randomization on",
                    "print object off", "debuginfod enabled off", "breakpoint pending off"):
        gdb.execute("set " + setting)
    gdb.execute("break " + os.environ.get("PLACES_ENTRY", "main"), to_string=True)
    gdb.execute("run > /dev/null 2>&1", to_string=True)
    addresses = sorted(statement_addresses(source).items())
    bias = load_bias()
    gdb.execute("delete", to_string=True)
    # a run of its own, so that main() counts too
    breakpoints, counts = {}, {}
    step = max(1, (len(addresses) + most - 1) // most)
    for address, line in addresses[::step]:
        point = gdb.Breakpoint(f"*{address:#x}", internal=True)
        point.silent = True
        breakpoints[address] = line
    gdb.execute("run > /dev/null 2>&1", to_string=True)
    while gdb.selected_thread() and gdb.selected_thread().is_valid():
        frame = gdb.newest_frame()
        pc = frame.pc()
        if pc in breakpoints and counts.get(pc, 0) < hits:
            counts[pc] = counts.get(pc, 0) + 1
            print(json.dumps({"pc": pc - bias, "line": breakpoints[pc], "hit": counts[pc],
                              "unsure": unsure_at(pc),
                              "values": variables_at(frame, pc, breakpoints[pc])}), flush=True)
        gdb.execute("continue", to_string=True)


def load_bias():
    name = gdb.current_progspace().filename
    low = None
    for line in gdb.execute("info proc mappings", to_string=True).splitlines():
        words = line.split()
        if words and words[-1] == name and words[0].startswith("0x"):
            start = int(words[0], 16)
            low = start if low is None else min(low, start)
    return 0 if low is None or low == 0x400000 else low


main()
