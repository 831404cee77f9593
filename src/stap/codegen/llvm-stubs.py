#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stubs for the LLVM functions that an archive calls: llvm-stubs.py NM ARCHIVE OUTPUT.S

Each jumps to where a table says; load.c fills the table when code is generated for the first time.
Linked the usual way, loading LLVM would be most of the time of every run that generates none.
"""
import subprocess
import sys

nm, archive, output = sys.argv[1:]
text = subprocess.run([nm, '-u', archive], check=True, capture_output=True, text=True).stdout
names = sorted({line.split()[-1] for line in text.splitlines() if line.split()[-1:] and line.split()[-1].startswith('LLVM')})
if not names:
    sys.exit(f'{archive} calls nothing of LLVM')
with open(output, 'w') as out:
    out.write('\t.text\n')
    for i, name in enumerate(names):
        out.write(f'\t.globl {name}\n\t.hidden {name}\n\t.type {name},@function\n\t.p2align 4\n'
                  f'{name}:\n\tjmp *llvm_table+{8 * i}(%rip)\n\t.size {name},.-{name}\n')
    out.write(f'\t.bss\n\t.p2align 3\n\t.globl llvm_table\n\t.hidden llvm_table\nllvm_table:\n\t.zero {8 * len(names)}\n')
    out.write('\t.section .rodata\n\t.globl llvm_names\n\t.hidden llvm_names\nllvm_names:\n')
    for name in names:
        out.write(f'\t.asciz "{name}"\n')
    out.write('\t.byte 0\n\t.section .note.GNU-stack,"",@progbits\n')
