/* SPDX-License-Identifier: MIT */
/* The event loop of a run: tracees, timers, signals to the tracer, reading the rings. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "session/control_files.h"
#include "session/monitor.h"
#include "session/output_file.h"
#include "session/perf_events.h"

enum {
	TICK_NS = 10000000,     /* reading the rings */
	BUSY_TICK_NS = 1000000, /* the same while some ring fills quickly */
	TICKS_PER_POLL = 10,    /* newly mapped libraries */
	TICKS_PER_SECOND = 100,
	MAX_EVENTS = 32,
};

enum loop_source {
	LOOP_TRACEES,
	LOOP_SIGNALS,
	LOOP_TICK,
	LOOP_TIMEOUT,
	LOOP_MONITOR,
	LOOP_KEYS,
	LOOP_PERF,
	LOOP_CONTROL0,
	LOOP_TIMER0 = LOOP_CONTROL0 + CONTROL_FDS
};

struct loop {
	struct session *s;
	int epoll, signals, tick, timeout, monitor;
	VEC(int) timer_fds;
	VEC(uint32_t) timer_sites;
	uint64_t ticks;
	bool busy;
	unsigned interrupts;
};

static int loop_add(struct loop *l, int fd, uint32_t source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void timer_arm(int fd, uint64_t first_ns, uint64_t period_ns)
{
	struct itimerspec spec = {
		.it_value = {.tv_sec = (time_t)(first_ns / 1000000000u),
			.tv_nsec = (long)(first_ns % 1000000000u)},
		.it_interval = {.tv_sec = (time_t)(period_ns / 1000000000u),
			.tv_nsec = (long)(period_ns % 1000000000u)},
	};
	timerfd_settime(fd, 0, &spec, NULL);
}

/* timer.X(N).randomize(M): each interval is drawn anew from [N-M, N+M]. */
static uint64_t timer_next(const struct stap_derived_probe *probe)
{
	if (!probe->randomize_ns)
		return probe->interval_ns;
	uint64_t span = 2 * probe->randomize_ns + 1;
	uint64_t next =
		probe->interval_ns - probe->randomize_ns + (uint64_t)random() % span;
	return next ? next : 1;
}

static bool is_profile(const struct session_site *site)
{
	return site->location && site->location->event == STAP_EVENT_PROFILE;
}

static int loop_open_timers(struct loop *l)
{
	struct session *s = l->s;
	for (uint32_t i = 0; i < s->sites.count; i++) {
		const struct stap_derived_probe *probe = s->sites.items[i].probe;
		if (probe->kind != STAP_PROBE_TIMER && !is_profile(&s->sites.items[i]))
			continue;
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		vec_append(&l->timer_fds, fd);
		vec_append(&l->timer_sites, i);
		int r = loop_add(l, fd, LOOP_TIMER0 + (uint32_t)l->timer_fds.count - 1);
		if (r < 0)
			return r;
		timer_arm(fd, timer_next(probe),
			probe->randomize_ns ? 0 : probe->interval_ns);
	}
	return 0;
}

/* A regular file as standard input cannot be waited for: it is read at once. */
static int loop_open_control(struct loop *l)
{
	int fds[CONTROL_FDS], r = 0;
	session_control_fds(l->s, fds);
	for (int i = 0; i < CONTROL_FDS && r == 0; i++)
		if (fds[i] >= 0)
			r = loop_add(l, fds[i], LOOP_CONTROL0 + (uint32_t)i);
	if (r != -EPERM)
		return r;
	while (fds[CONTROL_FDS - 1] >= 0) {
		session_control_handle(l->s, CONTROL_FDS - 1);
		session_control_fds(l->s, fds);
	}
	return 0;
}

static void loop_control(struct loop *l, int which)
{
	int before[CONTROL_FDS], after[CONTROL_FDS];
	session_control_fds(l->s, before);
	session_control_handle(l->s, which);
	session_control_fds(l->s, after);
	if (before[which] >= 0 && after[which] < 0)
		epoll_ctl(l->epoll, EPOLL_CTL_DEL, before[which], NULL);
}

void session_block_signals(sigset_t *ret_mask)
{
	sigemptyset(ret_mask);
	sigaddset(ret_mask, SIGINT);
	sigaddset(ret_mask, SIGTERM);
	sigaddset(ret_mask, SIGHUP);
	sigaddset(ret_mask, SIGQUIT);
	sigaddset(ret_mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, ret_mask, NULL);
}

static int loop_open(struct loop *l)
{
	struct session *s = l->s;
	sigset_t mask;
	session_block_signals(&mask);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	l->tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->epoll < 0 || l->signals < 0 || l->tick < 0)
		return -errno;
	int r = loop_add(l, l->signals, LOOP_SIGNALS);
	if (r == 0)
		r = loop_add(l, l->tick, LOOP_TICK);
	if (r == 0 && s->utrace)
		r = loop_add(l, utrace_fd(s->utrace), LOOP_TRACEES);
	if (r == 0 && session_perf_fd(s) >= 0)
		r = loop_add(l, session_perf_fd(s), LOOP_PERF);
	timer_arm(l->tick, TICK_NS, TICK_NS);
	if (r == 0)
		r = loop_open_control(l);
	if (r == 0 && s->options->timeout_ms) {
		l->timeout = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (l->timeout < 0)
			return -errno;
		timer_arm(l->timeout, s->options->timeout_ms * 1000000ull, 0);
		r = loop_add(l, l->timeout, LOOP_TIMEOUT);
	}
	if (r == 0 && s->monitor) {
		uint64_t period = s->options->monitor_seconds * 1000000000ull;
		l->monitor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (l->monitor < 0)
			return -errno;
		timer_arm(l->monitor, 1, period);
		r = loop_add(l, l->monitor, LOOP_MONITOR);
		if (r == 0 && session_monitor_keys(s) >= 0)
			r = loop_add(l, session_monitor_keys(s), LOOP_KEYS);
	}
	return r == 0 ? loop_open_timers(l) : r;
}

static void loop_close(struct loop *l)
{
	for (size_t i = 0; i < l->timer_fds.count; i++)
		close(l->timer_fds.items[i]);
	vec_free(&l->timer_fds);
	vec_free(&l->timer_sites);
	int fds[] = {l->epoll, l->signals, l->tick, l->timeout, l->monitor};
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static bool fd_take_expiry(int fd)
{
	uint64_t count;
	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void loop_tick(struct loop *l)
{
	struct session *s = l->s;
	if (!fd_take_expiry(l->tick))
		return;
	bool busy = session_output_drain(s, false);
	if (busy != l->busy) {
		l->busy = busy;
		uint64_t period = busy ? BUSY_TICK_NS : TICK_NS;
		timer_arm(l->tick, period, period);
	}
	l->ticks++;
	if (l->ticks % TICKS_PER_POLL == 0)
		session_targets_settle(s);
	if (l->ticks % TICKS_PER_POLL == 0 && s->poll_modules)
		session_targets_poll(s);
	session_newcomers_look(s);
	if (l->ticks % TICKS_PER_SECOND == 0)
		session_clock_refresh(&s->clock, s->memory.header);
	/* what makes no event: a new task that nobody tells of */
	if (l->ticks % TICKS_PER_SECOND == 0 && s->utrace)
		(void)!utrace_dispatch(s->utrace, NULL);
}

static void loop_timer(struct loop *l, uint32_t index)
{
	if (index >= l->timer_fds.count || !fd_take_expiry(l->timer_fds.items[index]))
		return;
	uint32_t site = l->timer_sites.items[index];
	const struct stap_derived_probe *probe = l->s->sites.items[site].probe;
	if (probe->randomize_ns)
		timer_arm(l->timer_fds.items[index], timer_next(probe), 0);
	if (is_profile(&l->s->sites.items[site]))
		session_targets_sample(l->s, site);
	else if (session_is_running(l->s))
		session_host_call(l->s, site);
}

/* The first signal ends the run in order; a second one leaves the cleaning up to the
 * guardian. */
static void loop_signal(struct loop *l)
{
	struct signalfd_siginfo info;
	while (read(l->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR2) {
			session_output_drain(l->s, true);
			output_file_switch(l->s);
			continue;
		}
		l->s->stopping = l->s->interrupted = true;
		if (++l->interrupts > 1)
			_exit(1);
	}
}

static int loop_handle(struct loop *l, uint32_t source, struct error *err)
{
	switch (source) {
	case LOOP_TRACEES:
		return utrace_dispatch(l->s->utrace, err);
	case LOOP_SIGNALS:
		loop_signal(l);
		break;
	case LOOP_TICK:
		loop_tick(l);
		break;
	case LOOP_TIMEOUT:
		l->s->stopping = true;
		break;
	case LOOP_MONITOR:
		if (fd_take_expiry(l->monitor)) {
			session_output_drain(l->s, true);
			session_monitor_draw(l->s);
		}
		break;
	case LOOP_PERF:
		session_perf_drain(l->s);
		break;
	case LOOP_KEYS:
		session_monitor_key(l->s);
		break;
	default:
		if (source < LOOP_TIMER0)
			loop_control(l, (int)(source - LOOP_CONTROL0));
		else
			loop_timer(l, source - LOOP_TIMER0);
		break;
	}
	return 0;
}

static bool loop_is_done(const struct session *s)
{
	return s->stopping || s->command_exited || s->output.failed ||
	       !session_is_running(s);
}

int session_loop(struct session *s, struct error *err)
{
	struct loop l = {.s = s,
		.epoll = -1,
		.signals = -1,
		.tick = -1,
		.timeout = -1,
		.monitor = -1};
	struct epoll_event events[MAX_EVENTS];
	int r = loop_open(&l);
	if (r < 0)
		error_set(err, r, "cannot set up the event loop: %s", strerror(-r));
	session_targets_release(s);
	/* whoever stops threads hears of events, too: here by the attach, below by each source */
	session_targets_work(s);
	while (r == 0 && !loop_is_done(s)) {
		int count = epoll_wait(l.epoll, events, MAX_EVENTS, -1);
		if (count < 0 && errno != EINTR) {
			r = error_set(err, -errno, "epoll_wait: %s", strerror(errno));
			break;
		}
		for (int i = 0; i < count && r == 0; i++)
			r = loop_handle(&l, events[i].data.u32, err);
		if (r == 0)
			session_targets_work(s);
	}
	loop_close(&l);
	return r;
}
