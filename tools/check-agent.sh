#!/bin/sh
# SPDX-License-Identifier: MIT
# The agent image runs inside programs that know nothing of it: it may need no library, leave no
# symbol undefined, be relocated, write to itself, or touch vector or x87 state.
# Usage: check-agent.sh IMAGE
set -eu
agent=$1
status=0

fail()
{
	echo "$agent: $1" >&2
	status=1
}

[ -s "$agent" ] || { fail "no such image"; exit 1; }

undefined=$(nm -D -u "$agent")
[ -z "$undefined" ] || fail "undefined symbols: $undefined"

if readelf -dW "$agent" | grep -qE '\((NEEDED|INIT|FINI|INIT_ARRAY|FINI_ARRAY|TEXTREL|PREINIT_ARRAY)\)'; then
	fail "needs a library, or code run at load time"
fi

relocations=$(readelf -rW "$agent" | grep -cE '^[0-9a-f]{8,}' || true)
[ "$relocations" = 0 ] || fail "$relocations relocations"

if readelf -lW "$agent" | grep -E '^ +LOAD' | grep -qE ' (RW|RWE|WE|W)  *(E)? *0x'; then
	fail "a writable segment"
fi
loads=$(readelf -lW "$agent" | grep -cE '^ +LOAD')
[ "$loads" = 1 ] || fail "$loads segments instead of one"
readelf -lW "$agent" | grep -qE '^ +LOAD +0x0+ +0x0+ ' || fail "the file's first byte is not at address 0"

if readelf -SW "$agent" | grep -qE ' \.(got|got\.plt|plt|data|bss|tdata|tbss|init_array)( |$)'; then
	fail "writable or dynamically linked sections"
fi

# Registers outside the general ones, and the instructions that save or restore them.  Looking at one is
# allowed: agent_vector_read() stores it below the stack.
vector=$(objdump -d --no-show-raw-insn "$agent" | grep -vE '	movups %xmm[0-9]+,-0x10\(%rsp\)$' |
	grep -E '%[xyz]?mm[0-9]|%k[0-7]|%st|	(f(ld|st|ist|ild|xch|init|n|wait|x)|emms|v?zero|xsave|xrstor|fx)' || true)
[ -z "$vector" ] || fail "vector or x87 instructions:
$vector"

for symbol in rt_enter rt_leave rt_map_insert agent_register_thread agent_signal_front agent_restorer \
	agent_read_start agent_read_end agent_read_fixup agent_call_trap; do
	readelf --dyn-syms -W "$agent" | grep -qE " $symbol\$" || fail "does not export $symbol"
done

exit $status
