# SPDX-License-Identifier: MIT
# Many functions of all kinds, optimised at length.
make_source()
{
	awk 'BEGIN {
		for (i = 0; i < 400; i++) {
			printf "static int g%d[64];\nint f%d(int n, const int *p, double x)\n{\n\tint s = n;\n", i, i
			printf "\tfor (int k = 0; k < n; k++) {\n\t\ts += p[k] * g%d[(k * %d) & 63];\n", i, i + 3
			printf "\t\tswitch (s & 7) {\n"
			for (k = 0; k < 8; k++) printf "\t\tcase %d: s = s * %d + (int)(x * k); break;\n", k, k * i + 1
			printf "\t\t}\n\t\tg%d[k & 63] ^= s >> %d;\n\t}\n", i, i % 13
			printf "\treturn %s + s;\n}\n", i ? "f" (i - 1) "(s & 15, p, x / 2)" : "0"
		}
	}'
}
