/* SPDX-License-Identifier: MIT */
/* A library with variables of its own, for scripts that look at it from elsewhere. */
enum mood {
	SAD = -1,
	HAPPY = 9
};
struct settings {
	int level;
	const char *name;
	struct {
		int a, b;
	} nested[2];
	unsigned flags : 3;
};
struct settings settings = {7, "library", {{1, 2}, {3, 4}}, 5};
enum mood mood = HAPPY;
static int hidden = 33;
__thread int in_thread = 11;
static __thread int hidden_in_thread = 12;

int library_work(int more)
{
	hidden += more;
	in_thread += more;
	hidden_in_thread += more;
	return hidden + in_thread + hidden_in_thread;
}
