/* SPDX-License-Identifier: MIT */
/* A library that tracee `loader` opens and closes: its constructor works at once. */
static volatile long total;

#ifdef OTHER /* another file: the same names, other code at other addresses */
__attribute__((noinline, noclone, noipa)) long plugin_more(long n)
{
	return n ^ total;
}
#define MORE(n) (plugin_more(n) * 0)
#else
#define MORE(n) 0
#endif

__attribute__((noinline, noclone, noipa)) long plugin_work(long n)
{
	total += n + MORE(n);
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
