/* The course of the program: its start, its time, its end. */
#include "host.h"

#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/wait.h>

#define WATCH_OUT 0 /* and 1: error */
#define WATCH_SOCKET 2
#define WATCH_PROCESS 3
#define WATCH_TIME 4
#define WATCH_ASKED 5
#define ROUNDS 64 /* looks of one call, where somebody else is to have a turn */
#define CLOCK_MONOTONIC 1
#define MILLION 1000000
#define BILLION 1000000000
#define FIONREAD 0x541B
#define LOOK_LEAST (4 * MILLION) /* nanoseconds between two looks at processor time */
#define LOOK_MOST (32 * MILLION)
#define GRACE 500 /* milliseconds that an init has to keep the time itself: its program may keep it from running */

/* What an init says of the program; 0: nothing for now. */
static int take_report(struct host_side *h, int flags)
{
	struct init_report report;
	int fd = -1;
	long r;

	if (h->shown->questions)
		r = ocirun_receive(h->shown->sync, &report, sizeof(report), &fd, flags);
	else
		r = kernel_call(__NR_recvfrom, h->shown->sync, (long)&report, sizeof(report), flags, 0, 0);
	if (r != sizeof(report))
		return r < 0 && r != -ECONNRESET ? (int)r : -EPIPE;
	if (fd >= 0) {
		r = report.kind == INIT_LISTENER ? asked_begin(h, fd) : -EPROTO;
		if (r < 0) {
			quiet_close(fd);
			return (int)r;
		}
	}
	h->started |= report.kind == INIT_STARTED;
	if (report.kind == INIT_ENDED) {
		h->ended = 1;
		h->shown->status = report.status;
		h->shown->resident = report.resident;
		if (report.late && !h->shown->late)
			h->shown->late = END_TIME;
		h->shown->nanoseconds = report.nanoseconds;
	}
	return (int)report.kind;
}

/* The program and its streams, for a container that was made ahead. */
static int send_program(struct host_side *h)
{
	struct executor *x = &h->x;
	struct program_message m = { .lifetime = h->shown->lifetime, .streams = 6 };
	struct {
		size_t length;
		int level, type, fd[4];
	} c = { .level = 1 /* SOL_SOCKET */, .type = 1 /* SCM_RIGHTS */ };
	struct { void *base; size_t length; } io = { &m, sizeof(m) };
	struct {
		void *name;
		uint32_t name_length, pad;
		void *io;
		size_t io_count;
		void *control;
		size_t control_length;
		uint32_t flags, pad2;
	} message = { .io = &io, .io_count = 1, .control = &c };
	int count = 1, r = 0;

	if (h->shown->input_size || h->shown->given[0] >= 0)
		m.streams |= 1;
	note_call(h, __NR_memfd_create, (long)"program");
	c.fd[0] = ocirun_sealed_fd("program", h->shown->program, h->shown->program_size);
	if (c.fd[0] < 0)
		return c.fd[0];
	for (int i = 0; i < 3; i++) {
		if (!(m.streams >> i & 1))
			continue;
		/* As fix_stdio does for others: the program may open it again by its name. */
		if (h->shown->stream_uid > 0 && !(i == 0 && h->shown->given[0] >= 0))
			r = (int)SYS3(x, __NR_fchown, h->theirs[i], h->shown->stream_uid, -1);
		if (r < 0)
			break;
		c.fd[count++] = h->theirs[i];
	}
	c.length = 16 + (size_t)count * sizeof(int);
	message.control_length = (c.length + 7) & ~7ul;
	if (r >= 0)
		r = (int)SYS3(x, __NR_sendmsg, h->shown->sync, &message, 0x4000 /* MSG_NOSIGNAL */);
	quiet_close(c.fd[0]);
	return r < 0 ? r : 0;
}

/* Let the helper go on from `wait_start`; until the program is executed, where something waits for that. */
int host_start_program(struct host_side *h, const struct start_program_args *a)
{
	struct executor *x = &h->x;
	uint64_t lifetime = h->shown->lifetime;
	char word[1 + sizeof(lifetime)] = { 's' };
	uint32_t message[2], phase = 0;
	int r;

	h->shown->created = 1;
	if (!h->shown->go)
		return HOST_READY;
	if (!h->told && h->shown->program) {
		r = send_program(h);
		if (r < 0)
			return r;
		h->told = 1;
		h->begin = time_now(x);
	}
	for (int i = 0; i < 3; i++)
		let_go(&h->theirs[i]);
	if (!h->told) {
		bytes_copy(word + 1, &lifetime, sizeof(lifetime));
		r = (int)SYS6(x, __NR_sendto, h->shown->sync, word, lifetime ? sizeof(word) : 1, 0x4000 /* MSG_NOSIGNAL */,
			      0, 0);
		note_call(h, __NR_sendmsg, -1);
		if (r < 0)
			return r;
		h->told = 1;
		h->begin = time_now(x);
	}
	note_call(h, __NR_recvmsg, -1);
	if (h->shown->has_init && !a->waits)
		return 0;
	if (h->shown->has_init || (h->shown->questions && h->shown->questions->listener < 0)) {
		do
			r = take_report(h, 0);
		while (h->shown->has_init && r == INIT_LISTENER);
		if (r == -EINTR)
			return HOST_INTERRUPTED;
		if (r < 0 && r != -EPIPE)
			return r;
		if (r != INIT_LISTENER)
			return r == INIT_STARTED ? 0 : HOST_ENDED;
	}
	r = ocirun_hear(h->shown->sync, message, NULL, h->shown->idle);
	if (r == -EINTR)
		return HOST_INTERRUPTED;
	if (r == -ETIMEDOUT)
		return HOST_SILENT;
	if (r < 0)
		return r;
	if (r == 0)
		r = (int)SYS4(x, __NR_pread64, h->shown->progress, &phase, sizeof(phase), offsetof(struct progress, phase));
	if (r < 0)
		return r;
	h->begin = time_now(x);
	return r >= 0 && phase == PHASE_RUNNING ? 0 : HOST_ENDED;
}

static int watch(struct host_side *h, int fd, uint64_t what)
{
	struct epoll_event event = { .events = EPOLLIN, .data = what };

	return (int)SYS4(&h->x, __NR_epoll_ctl, h->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* What is at its end and still watched would be ready for ever. */
static int forget(struct host_side *h, int fd)
{
	struct epoll_event event = { 0 };

	return (int)SYS4(&h->x, __NR_epoll_ctl, h->epoll, EPOLL_CTL_DEL, fd, &event);
}

/* The next look at the clock and at the counter of processor time: `at`, nanoseconds of CLOCK_MONOTONIC. */
static int set_timer(struct host_side *h, int64_t at)
{
	int64_t when[4] = { 0, 0, at / BILLION, at % BILLION };
	int r;

	if (h->timer < 0) {
		r = (int)SYS2(&h->x, __NR_timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC);
		if (r < 0)
			return r;
		h->timer = r;
		r = watch(h, h->timer, WATCH_TIME);
		if (r < 0)
			return r;
	}
	return (int)SYS4(&h->x, __NR_timerfd_settime, h->timer, 1 /* TFD_TIMER_ABSTIME */, when, 0);
}

/* Processor time of the group, nanoseconds: cpuacct.usage is that number, cpu.stat begins with it in microseconds. */
static int64_t processor_time(struct host_side *h)
{
	static const char first[] = "usage_usec ";
	char text[64];
	int64_t found = 0;
	long n = SYS4(&h->x, __NR_pread64, h->processor, text, sizeof(text) - 1, 0);
	const char *at = text;
	int scale = 1;

	if (n < 0)
		return n;
	text[n] = 0;
	if (text_starts(text, first)) {
		at += sizeof(first) - 1;
		scale = 1000;
	}
	for (; *at >= '0' && *at <= '9'; at++)
		found = found * 10 + (*at - '0');
	return found * scale;
}

/* Whether its processor time is over.  It cannot be before the rest is used on all processors at once: so long nobody
 * looks, and longer while it uses none. */
static int is_used_up(struct host_side *h, int64_t now)
{
	int64_t used = processor_time(h), left, pause, longer;

	if (used < 0)
		return (int)used;
	if ((uint64_t)used >= h->shown->processor_limit)
		return 1;
	left = (int64_t)h->shown->processor_limit - used;
	pause = left / (h->shown->processors > 0 ? h->shown->processors : 1);
	if (pause < LOOK_LEAST)
		pause = LOOK_LEAST;
	longer = 2 * h->pause < LOOK_MOST ? 2 * h->pause : LOOK_MOST;
	if (used == h->used && pause < longer)
		pause = longer;
	h->used = used;
	h->pause = pause;
	h->look = now + pause;
	return 0;
}

static int64_t deadline(struct host_side *h)
{
	return h->begin + (int64_t)(h->shown->lifetime + (h->shown->has_init ? GRACE : 0)) * MILLION;
}

/* Arm the timer for what comes first. */
static int wait_on(struct host_side *h)
{
	if (!h->shown->lifetime && !h->shown->processor_limit)
		return 0;
	if (!h->shown->processor_limit || (h->shown->lifetime && deadline(h) < h->look))
		return set_timer(h, deadline(h));
	return set_timer(h, h->look);
}

/* End it for a limit that is kept here.  An init does it, and tells how; the caller comes in where there is none, and
 * where an init does not answer. */
static int end_for(struct host_side *h, enum host_end why)
{
	int r;

	if (h->shown->late)
		return 0;
	h->shown->late = (int)why;
	if (h->gone || h->ended)
		return 0;
	if (!h->shown->has_init)
		return HOST_LATE;
	r = (int)SYS2(&h->x, __NR_shutdown, h->shown->sync, 1 /* SHUT_WR */);
	return r < 0 && r != -ENOTCONN ? r : set_timer(h, time_now(&h->x) + (int64_t)GRACE * MILLION);
}

/* The timer has run off. */
static int judge_time(struct host_side *h)
{
	int64_t now = time_now(&h->x);
	int r = 0;

	if (h->shown->late)
		return HOST_LATE;
	if (h->shown->processor_limit && now >= h->look) {
		r = is_used_up(h, now);
		if (r)
			return r < 0 ? r : end_for(h, END_PROCESSOR);
	}
	if (h->shown->lifetime && now >= deadline(h)) {
		h->shown->late = END_TIME;
		return HOST_LATE;
	}
	return wait_on(h);
}

static int begin_to_watch(struct host_side *h, const struct serve_args *a)
{
	struct executor *x = &h->x;
	const char *file = plan_text(x, a->processor);
	int r = (int)SYS1(x, __NR_epoll_create1, O_CLOEXEC);

	if (r < 0)
		return r;
	h->shown->epoll = h->epoll = r;
	r = watch(h, h->shown->pidfd, WATCH_PROCESS);
	if (r == 0 && h->shown->has_init)
		r = watch(h, h->shown->sync, WATCH_SOCKET);
	if (r == 0 && h->shown->questions && h->shown->questions->listener >= 0)
		r = watch(h, h->shown->questions->listener, WATCH_ASKED);
	for (int i = 0; i < 2 && r == 0; i++)
		if (h->ours[i] >= 0)
			r = watch(h, h->ours[i], WATCH_OUT + (uint64_t)i);
	if (r == 0 && h->shown->processor_limit) {
		if (!file)
			return fault(x, FAULT_PLAN, 0, EINVAL);
		h->processor = r = (int)SYS4(x, __NR_openat, AT_FDCWD, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
		if (r >= 0)
			r = is_used_up(h, h->begin);
		if (r == 1)
			h->look = h->begin;
	}
	return r < 0 ? r : wait_on(h);
}

static int is_too_much(struct host_side *h)
{
	return h->shown->kills && (h->shown->output[0].cut || h->shown->output[1].cut);
}

/* One look at what is ready; how many of them, -errno.  h->over: the timer has run off. */
static int look(struct host_side *h, int wait)
{
	struct epoll_event event[8];
	long n = sys(&h->x, __NR_epoll_pwait, h->epoll, (long)event, 8, wait, 0, 8);

	for (long i = 0; i < n; i++) {
		uint64_t what = event[i].data;
		long r = 0;

		if (what == WATCH_PROCESS)
			h->gone = 1;
		else if (what == WATCH_TIME)
			h->over = 1;
		else if (what == WATCH_SOCKET) {
			r = take_report(h, 0x40 /* MSG_DONTWAIT */);
			if (r == -EPIPE) /* closed by init; any other failure is ours */
				r = forget(h, h->shown->sync);
			else if (r == -EAGAIN || r == -EINTR)
				r = 0;
			else if (r == INIT_LISTENER)
				r = watch(h, h->shown->questions->listener, WATCH_ASKED);
		}
		else if (what == WATCH_ASKED)
			r = asked_serve(h);
		else if ((r = stream_take(h, (int)what, CHUNK)) == 0)
			r = forget(h, h->ours[what]);
		if (r < 0)
			return (int)r;
	}
	return (int)n;
}

/* Something for the caller, which it takes before the next turn. */
static int is_fresh(struct host_side *h)
{
	return h->shown->output[0].fresh_size || h->shown->output[1].fresh_size;
}

/* What the program has left in the pipes, and in the socket: so much as is there at its end.  Whoever else goes on
 * writing is not waited for. */
static int take_rest(struct host_side *h)
{
	long r = 0;

	while (h->shown->has_init && !h->ended && r >= 0)
		r = take_report(h, 0x40 /* MSG_DONTWAIT */);
	if (r < 0 && r != -EPIPE && r != -EAGAIN)
		return (int)r;
	for (int i = 0; i < 2; i++) {
		if (h->ours[i] < 0)
			continue;
		if (!h->counted[i]) {
			r = SYS3(&h->x, __NR_ioctl, h->ours[i], FIONREAD, &h->rest[i]);
			if (r < 0)
				return (int)r;
			h->counted[i] = 1;
		}
		while (h->rest[i] > 0) {
			r = stream_take(h, i, h->rest[i] < CHUNK ? (size_t)h->rest[i] : CHUNK);
			if (r < 0)
				return (int)r;
			h->rest[i] = r ? h->rest[i] - (int)r : 0;
			if (r && is_fresh(h))
				return HOST_OUTPUT;
		}
	}
	return 0;
}

/* The exit status, from the kernel where no init has told it. */
static int reap(struct host_side *h)
{
	struct siginfo_words info = { 0 };
	long usage[18]; /* struct rusage: two times, then the largest resident set in KiB */
	long r = sys(&h->x, __NR_waitid, P_PIDFD, h->shown->pidfd, (long)&info, WEXITED, (long)usage, 0);

	if (r == -EINTR)
		return HOST_INTERRUPTED;
	if (h->ended)
		return 0;
	if (r < 0)
		return (int)r;
	h->shown->nanoseconds = (uint64_t)(time_now(&h->x) - h->begin);
	h->shown->status = info.code == 1 /* CLD_EXITED */ ? info.status << 8 : info.status;
	/* One that was not forked has that of the caller in it, whose memory it had before it was executed. */
	if (h->shown->adopted && !h->shown->has_init)
		h->shown->resident = (uint64_t)usage[4] << 10;
	return 0;
}

/* How long to wait until the interpreter is asked for handlers that are due: twice as long each time, for a second at
 * most. */
static int patience(struct host_side *h)
{
	h->patience = h->patience ? h->patience * 2 : 16;
	if (h->patience > 1024)
		h->patience = 1024;
	return h->patience;
}

/* Read the outputs until the program has ended.  Whoever still holds the other
 * end of one then is not waited for.  Nor is init, where it has told the end,
 * and somebody else removes the container: all others in it have ended by then. */
int host_serve(struct host_side *h, const struct serve_args *a)
{
	int keeper = h->shown->has_init == KEEPER, early = keeper || h->shown->program != NULL, rounds = 0, r = 0;

	if (h->epoll < 0) {
		r = begin_to_watch(h, a);
		if (r < 0)
			return r;
	}
	while (!h->gone && !(early && h->ended)) {
		h->over = 0;
		r = look(h, h->shown->polled ? 0 : patience(h));
		/* One that came before the wait has interrupted nothing, and its handler is the interpreter's to run. */
		if (r == -EINTR || (r == 0 && !h->shown->polled))
			return HOST_INTERRUPTED;
		if (r < 0)
			return r;
		if (is_fresh(h))
			return HOST_OUTPUT;
		if (h->gone)
			break;
		if (r == 0)
			return HOST_WAIT;
		r = is_too_much(h) ? end_for(h, END_OUTPUT) : 0;
		if (r == 0 && h->over)
			r = judge_time(h);
		if (r)
			return r;
		/* A program that never pauses must not keep an event loop from all else. */
		if (h->shown->polled && ++rounds == ROUNDS)
			return HOST_WAIT;
	}
	/* What outlives the first process without a pid namespace has nobody to ask any more. */
	if (h->gone)
		asked_close(h);
	r = take_rest(h);
	if (r)
		return r;
	if (is_too_much(h) && !h->shown->late)
		h->shown->late = END_OUTPUT;
	/* A keeper may be killed by others in its container: how the program ended nobody knows then. */
	if (h->shown->has_init && !(keeper ? h->ended : h->started) && !h->shown->late)
		return HOST_ENDED;
	r = early && h->ended ? 0 : reap(h);
	if (r)
		return r;
	streams_close(h);
	return h->shown->polled ? HOST_SERVED : 0;
}

/* After the caller has killed the program: come back once more in so many milliseconds from now. */
int ocirun_host_allow(struct host *shown, uint64_t milliseconds)
{
	struct host_side *h = shown->memory;

	shown->allowed = 1;
	return set_timer(h, time_now(&h->x) + (int64_t)milliseconds * MILLION);
}
