/* The course of the program: its streams, its time, its end. */
#include "host.h"

#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/wait.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_OUT 0 /* and 1: error */
#define WATCH_SOCKET 2
#define WATCH_PROCESS 3
#define WATCH_TIME 4
#define CHUNK 65536
#define CLOCK_MONOTONIC 1
#define MILLION 1000000
#define GRACE 2000 /* milliseconds that an init has to keep the time itself */

int host_open_streams(struct host_side *h)
{
	struct executor *x = &h->x;
	const char *input = h->shown->input;
	size_t left = h->shown->input_size;
	long r;

	/* A file: nobody has to feed it, and it has an end. */
	if (left)
		r = SYS2(x, __NR_memfd_create, "stdin", 1 /* MFD_CLOEXEC */);
	else
		r = SYS4(x, __NR_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
	if (r < 0)
		return (int)r;
	h->theirs[0] = (int)r;
	while (left) {
		r = SYS3(x, __NR_write, h->theirs[0], input, left);
		if (r < 0)
			return (int)r;
		input += r;
		left -= (size_t)r;
	}
	if (h->shown->input_size)
		r = SYS3(x, __NR_lseek, h->theirs[0], 0, 0);
	if (r < 0)
		return (int)r;
	for (int i = 0; i < 2; i++) {
		int ends[2];

		r = SYS2(x, __NR_pipe2, ends, O_CLOEXEC);
		if (r < 0)
			return (int)r;
		h->ours[i] = ends[0];
		h->theirs[i + 1] = ends[1];
	}
	for (int i = 0; i < 3; i++)
		h->shown->stdio[i] = h->theirs[i];
	return 0;
}

void streams_close(struct host_side *h)
{
	for (int i = 0; i < 3; i++)
		let_go(&h->theirs[i]);
	for (int i = 0; i < 2; i++)
		let_go(&h->ours[i]);
	let_go(&h->epoll);
	let_go(&h->timer);
}

/* What an init says of the program; 0: nothing for now. */
static int take_report(struct host_side *h, int flags)
{
	struct init_report report;
	long r = kernel_call(__NR_recvfrom, h->shown->sync, (long)&report, sizeof(report), flags, 0, 0);

	if (r != sizeof(report))
		return r < 0 && r != -ECONNRESET ? (int)r : -EPIPE;
	h->started |= report.kind == INIT_STARTED;
	if (report.kind == INIT_ENDED) {
		h->ended = 1;
		h->shown->status = report.status;
		h->shown->late = (int)report.late;
		h->shown->nanoseconds = report.nanoseconds;
	}
	return (int)report.kind;
}

/* The program and its streams, for a container that was made ahead. */
static int send_program(struct host_side *h)
{
	struct executor *x = &h->x;
	struct program_message m = { .lifetime = h->shown->lifetime, .streams = h->shown->input_size ? 7 : 6 };
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

	note_call(h, __NR_memfd_create, (long)"program");
	c.fd[0] = ocirun_sealed_fd("program", h->shown->program, h->shown->program_size);
	if (c.fd[0] < 0)
		return c.fd[0];
	for (int i = 0; i < 3; i++) {
		if (!(m.streams >> i & 1))
			continue;
		/* As fix_stdio does for others: the program may open it again by its name. */
		if (h->shown->stream_uid > 0)
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
	if (h->shown->has_init) {
		r = take_report(h, 0);
		if (r == -EINTR)
			return HOST_INTERRUPTED;
		if (r < 0 && r != -EPIPE)
			return r;
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

/* `milliseconds` from the program's start. */
static int set_timer(struct host_side *h, uint64_t milliseconds)
{
	int64_t at = h->begin + (int64_t)milliseconds * MILLION;
	int64_t when[4] = { 0, 0, at / (1000 * MILLION), at % (1000 * MILLION) };

	return (int)SYS4(&h->x, __NR_timerfd_settime, h->timer, 1 /* TFD_TIMER_ABSTIME */, when, 0);
}

static int begin_to_watch(struct host_side *h)
{
	struct executor *x = &h->x;
	int r = (int)SYS1(x, __NR_epoll_create1, O_CLOEXEC);

	if (r < 0)
		return r;
	h->shown->epoll = h->epoll = r;
	r = watch(h, h->shown->pidfd, WATCH_PROCESS);
	if (r == 0 && h->shown->has_init)
		r = watch(h, h->shown->sync, WATCH_SOCKET);
	for (int i = 0; i < 2 && r == 0; i++)
		if (h->ours[i] >= 0)
			r = watch(h, h->ours[i], WATCH_OUT + (uint64_t)i);
	if (r < 0 || !h->shown->lifetime)
		return r;
	r = (int)SYS2(x, __NR_timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC);
	if (r < 0)
		return r;
	h->timer = r;
	r = set_timer(h, h->shown->lifetime + (h->shown->has_init ? GRACE : 0));
	return r < 0 ? r : watch(h, h->timer, WATCH_TIME);
}

/* Keep what is read up to the limit, and read on; 0 at the end of the stream. */
static int take_output(struct host_side *h, int number)
{
	struct host_stream *s = &h->shown->output[number];
	size_t room = s->limit - s->size < CHUNK ? s->limit - s->size : CHUNK;
	char more[CHUNK / 4];
	long r;

	if (room > s->room - s->size && s->room - s->size < CHUNK / 16) {
		int fixed = s->kept == h->first[number];
		size_t all = s->size + (s->size > 2 * CHUNK ? s->size : 2 * CHUNK);
		char *kept = realloc(fixed ? NULL : s->kept, all);

		if (!kept)
			return -ENOMEM;
		if (fixed)
			memcpy(kept, s->kept, s->size);
		s->kept = kept;
		s->room = all;
	}
	if (room > s->room - s->size)
		room = s->room - s->size;
	if (room)
		r = SYS3(&h->x, __NR_read, h->ours[number], s->kept + s->size, room);
	else
		r = SYS3(&h->x, __NR_read, h->ours[number], more, sizeof(more));
	if (r < 0)
		return r == -EINTR ? 1 : (int)r;
	if (room)
		s->size += (size_t)r;
	else
		s->cut |= r > 0;
	return r > 0;
}

/* One look at what is ready; how many of them, -errno. */
static int look(struct host_side *h, int wait, int *gone, int *over)
{
	struct epoll_event event[8];
	long n = sys(&h->x, __NR_epoll_pwait, h->epoll, (long)event, 8, wait, 0, 8);

	for (long i = 0; i < n; i++) {
		uint64_t what = event[i].data;
		int r = 0;

		if (what == WATCH_PROCESS)
			*gone = 1;
		else if (what == WATCH_TIME)
			*over = 1;
		else if (what == WATCH_SOCKET) {
			r = take_report(h, 0x40 /* MSG_DONTWAIT */);
			if (r == -EPIPE) /* closed by init; any other failure is ours */
				r = forget(h, h->shown->sync);
			else if (r == -EAGAIN || r == -EINTR)
				r = 0;
		}
		else if ((r = take_output(h, (int)what)) == 0)
			r = forget(h, h->ours[what]);
		if (r < 0)
			return r;
	}
	return (int)n;
}

/* The exit status, from the kernel where no init has told it. */
static int reap(struct host_side *h)
{
	struct siginfo_words info = { 0 };
	long r = sys(&h->x, __NR_waitid, P_PIDFD, h->shown->pidfd, (long)&info, WEXITED, 0, 0);

	if (r == -EINTR)
		return HOST_INTERRUPTED;
	if (h->ended)
		return 0;
	if (r < 0)
		return (int)r;
	h->shown->nanoseconds = (uint64_t)(time_now(&h->x) - h->begin);
	h->shown->status = info.code == 1 /* CLD_EXITED */ ? info.status << 8 : info.status;
	return 0;
}

/* Read the outputs until the program has ended.  Whoever still holds the other
 * end of one then is not waited for.  Nor is init, where it has told the end,
 * and somebody else removes the container: all others in it have ended by then. */
int host_serve(struct host_side *h)
{
	int gone = h->gone, over = 0, watched = !gone, early = h->shown->program != NULL, r;

	if (h->epoll < 0) {
		r = begin_to_watch(h);
		if (r < 0)
			return r;
	}
	while (!gone && !(early && h->ended)) {
		r = look(h, h->shown->polled ? 0 : -1, &gone, &over);
		if (r == -EINTR)
			return HOST_INTERRUPTED;
		if (r < 0)
			return r;
		if (gone)
			break;
		if (over) {
			r = forget(h, h->timer);
			return r < 0 ? r : HOST_LATE;
		}
		if (r == 0)
			return HOST_WAIT;
	}
	/* What it has left in the pipes, and in the socket. */
	do {
		r = gone && watched ? forget(h, h->shown->pidfd) : 0;
		watched = !gone;
		if (r == 0)
			r = look(h, 0, &gone, &over);
	} while (r > 0 && !over);
	if (r < 0)
		return r;
	h->gone = gone; /* for the next call, if a signal cuts this one short: its pidfd is not watched any more */
	if (h->shown->has_init && !h->started)
		return HOST_ENDED;
	r = early && h->ended ? 0 : reap(h);
	if (r)
		return r;
	streams_close(h);
	return h->shown->polled ? HOST_SERVED : 0;
}

/* After the program was killed as its time was over: look again in so many milliseconds from now. */
int ocirun_host_allow(struct host *shown, uint64_t milliseconds)
{
	struct host_side *h = shown->memory;
	int r;

	shown->late = 1;
	r = set_timer(h, (uint64_t)((time_now(&h->x) - h->begin) / MILLION) + milliseconds);
	return r < 0 ? r : watch(h, h->timer, WATCH_TIME);
}
