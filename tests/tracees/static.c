/* SPDX-License-Identifier: MIT */
/* Linked statically: no dynamic linker between exec and the entry point. */
int main(void)
{
	return 0;
}
