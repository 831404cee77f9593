/* SPDX-License-Identifier: MIT */
/* A library that tracee `loader` opens and closes: its constructor works at once. */
static volatile long total;

__attribute__((noinline, noclone, noipa)) long plugin_work(long n)
{
	total += n;
	return total;
}

__attribute__((constructor)) static void plugin_begin(void)
{
	for (int i = 0; i < 10; i++)
		plugin_work(i);
}

__attribute__((destructor)) static void plugin_end(void)
{
	plugin_work(1);
}
