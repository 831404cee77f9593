/* SPDX-License-Identifier: MIT */
/* Static marks with every kind of argument, and semaphores. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _SDT_HAS_SEMAPHORES     1
#define STAP_SDT_ARG_CONSTRAINT norx /* floating point in its own registers */
#include <sys/sdt.h>

__extension__ unsigned short marks_hit_semaphore
	__attribute__((section(".probes"), used));
__extension__ unsigned short marks_cold_semaphore
	__attribute__((section(".probes"), used));
__extension__ unsigned short marks_plain__name_semaphore
	__attribute__((section(".probes"), used));

__extension__ unsigned short marks_real_semaphore
	__attribute__((section(".probes"), used));

long global_long = 70000000000;
static struct {
	char c;
	short s;
} cell = {'x', -5};

__attribute__((noinline)) static void work(int i, const short *shorts, const char *text)
{
	if (marks_hit_semaphore)
		STAP_PROBE8(marks, hit, i, (char)-i, (unsigned char)-i, shorts[i % 4],
			global_long, -7, text, cell.s);
	STAP_PROBE(marks, plain__name);
	if (marks_real_semaphore)
		STAP_PROBE2(marks, real, i * 1.5, (float)i / 4);
}

int main(int argc, char **argv)
{
	static const short shorts[] = {-1, 2, -3, 4};
	int rounds = argc > 1 ? atoi(argv[1]) : 4;
	useconds_t pause = argc > 2 ? (useconds_t)atoi(argv[2]) : 0;
	int armed = 0;
	if (argc > 3) /* a second process, born while traced */
		usleep((useconds_t)atoi(argv[3]) * 1000), fork();
	for (int i = 0; i < rounds; i++) {
		armed += marks_hit_semaphore != 0;
		work(i, shorts, "text");
		if (pause)
			usleep(pause);
	}
	if (marks_cold_semaphore)
		STAP_PROBE(marks, cold);
	printf("rounds=%d armed=%d hit=%d cold=%d\n", rounds, armed, marks_hit_semaphore,
		marks_cold_semaphore);
	return 0;
}
