/* An init of the container's own: this process stays the first one of its pid
 * namespace, and the program is its child.  So the program is an ordinary
 * process (signals have their default effect, abort is signal 6), orphans are
 * reaped, and how it ended is said over the socket, whoever waits for what.
 *
 * What ends with this process is the kernel's doing: the end of the first
 * process of a pid namespace kills all others in it. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>

#define TIOCSPGRP 0x5410
#define SIGNAL_CHILD 17
#define SIGNAL_KILL 9
#define POLLIN 1
#define POLLHUP 16

enum { SIGNALS, EXECUTED, SOCKET, CALLER, WATCHED };

struct init {
	struct poll_words watched[WATCHED];
	uint32_t index;
	long program;	/* its pid in our namespace */
	int ends_with_caller;
	int keeps;	/* in a container of others: of what is here only the program, and what it has started, is ours */
	int status;	/* as wait(2) gives it */
	int ended, late;
	int64_t begin, end; /* nanoseconds, CLOCK_MONOTONIC; end 0: no deadline */
	int64_t over;	    /* when the program was seen to have ended */
};

/* Keep what is watched, close all else: whoever reads the program's output
 * must meet its end when the program has ended. */
static void close_others(struct executor *x, struct init *i)
{
	uint32_t from = 0;

	for (;;) {
		uint32_t next = ~0u;

		for (int n = 0; n < WATCHED; n++)
			if (i->watched[n].fd >= (int)from && (uint32_t)i->watched[n].fd < next)
				next = (uint32_t)i->watched[n].fd;
		if (next > from)
			SYS3(x, __NR_close_range, from, next == ~0u ? next : next - 1, 0);
		if (next == ~0u)
			return;
		from = next + 1;
	}
}

static void report(struct executor *x, struct init *i, uint32_t kind)
{
	struct init_report r = { .index = i->index, .kind = kind, .status = i->status, .late = (uint32_t)i->late,
				 .nanoseconds = (uint64_t)((i->ended ? i->over : time_now(x)) - i->begin) };
	long usage[18] = { 0 }; /* struct rusage: two times, then the largest resident set in KiB */

	if (kind == INIT_ENDED && SYS2(x, __NR_getrusage, -1 /* RUSAGE_CHILDREN */, usage) == 0)
		r.resident = (uint64_t)usage[4] << 10;
	if (i->watched[SOCKET].fd >= 0)
		sync_send(x, i->watched[SOCKET].fd, &r, sizeof(r), -1);
}

/* Reap whatever has ended; 0 when there is no child left. */
static int reap(struct executor *x, struct init *i, uint64_t flags)
{
	for (;;) {
		struct siginfo_words info = { 0 };
		long r = SYS5(x, __NR_waitid, 0 /* P_ALL */, 0, &info, WEXITED | flags, 0);

		if (r < 0)
			return r == -EINTR;
		if (info.pid == 0)
			return 1;
		if (info.pid != i->program || i->ended)
			continue;
		i->ended = 1;
		i->over = time_now(x);
		/* It may have kept this process from running (sched_setscheduler, setpriority) until its time was over. */
		i->late |= i->end && i->over >= i->end;
		i->status = info.code == 1 /* CLD_EXITED */ ? info.status << 8 : info.status | (info.code == 3 ? 0x80 : 0);
		return 1;
	}
}

/* The program has ended, or its time has.  What it has started has this process for a parent by now, or will have; to
 * end that is the runtime's, which can list it. */
_Noreturn static void finish_keeping(struct executor *x, struct init *i)
{
	if (!i->ended)
		SYS2(x, __NR_kill, i->program, SIGNAL_KILL);
	while (!i->ended && reap(x, i, 0))
		;
	report(x, i, INIT_ENDED);
	while (reap(x, i, 0))
		;
	kernel_exit(i->status & 0x7f ? 128 + (i->status & 0x7f) : i->status >> 8 & 0xff);
}

/* The program has ended, or its time has: all others go, and then this process. */
_Noreturn static void finish(struct executor *x, struct init *i)
{
	if (i->keeps)
		finish_keeping(x, i);
	for (int more = 1; more;) {
		SYS2(x, __NR_kill, -1, SIGNAL_KILL);
		more = reap(x, i, 0);
	}
	report(x, i, INIT_ENDED);
	kernel_exit(i->status & 0x7f ? 128 + (i->status & 0x7f) : i->status >> 8 & 0xff);
}

static void pass_signals(struct executor *x, struct init *i)
{
	uint32_t info[32]; /* struct signalfd_siginfo, of which the number comes first */

	while (SYS3(x, __NR_read, i->watched[SIGNALS].fd, info, sizeof(info)) == sizeof(info))
		if (info[0] != SIGNAL_CHILD)
			SYS2(x, __NR_kill, i->program, info[0]);
	reap(x, i, WNOHANG);
}

/* The runtime's end of the socket is closed, or will say nothing more: so it ends the program.  It has no messages. */
static void lose_caller(struct executor *x, struct init *i)
{
	if (i->ends_with_caller || (i->keeps && !(i->watched[SOCKET].revents & POLLHUP)))
		finish(x, i);
	quiet_close(i->watched[SOCKET].fd);
	i->watched[SOCKET].fd = -1;
}

_Noreturn static void stay(struct executor *x, struct init *i)
{
	close_others(x, i);
	while (!i->ended) {
		int64_t left[2] = { 0, 0 }, rest = i->end - time_now(x);

		if (i->end && rest <= 0) {
			i->late = 1;
			finish(x, i);
		}
		left[0] = rest / 1000000000;
		left[1] = rest % 1000000000;
		SYS5(x, __NR_ppoll, i->watched, WATCHED, i->end ? left : 0, 0, 8);
		if (i->watched[EXECUTED].revents) {
			quiet_close(i->watched[EXECUTED].fd);
			i->watched[EXECUTED].fd = -1;
			if (__atomic_load_n(&x->progress->phase, __ATOMIC_ACQUIRE) == PHASE_RUNNING)
				report(x, i, INIT_STARTED);
		}
		if (i->watched[SIGNALS].revents)
			pass_signals(x, i);
		if (i->watched[CALLER].revents)
			finish(x, i);
		if (i->watched[SOCKET].revents)
			lose_caller(x, i);
	}
	finish(x, i);
}

/* On the socket `sync` the ends are told; with `caller`, a pidfd, all ends.
 * Either may be SLOT_LIMIT.  Goes on in the child, which executes the program. */
int op_fork_program(struct executor *x, const struct fork_program_args *a)
{
	struct init i = { .index = x->index, .ends_with_caller = a->caller < SLOT_LIMIT, .keeps = (int)a->keeps,
			  .begin = time_now(x) };
	long action[4] = { 0, 0, 0, 0 };
	uint64_t all = ~0ull;
	int ends[2] = { -1, -1 }, signals, r;

	/* Ignored, as a caller may have passed it on, it would take the wait status away. */
	r = (int)SYS4(x, __NR_rt_sigaction, SIGNAL_CHILD, action, 0, 8);
	if (r < 0)
		return r;
	signals = (int)SYS4(x, __NR_signalfd4, -1, &all, 8, O_NONBLOCK | O_CLOEXEC);
	if (signals < 0)
		return signals;
	r = (int)SYS2(x, __NR_pipe2, ends, O_CLOEXEC);
	if (r == 0 && i.keeps)
		r = (int)SYS5(x, __NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (r == 0)
		i.program = r = (int)SYS5(x, __NR_clone, SIGNAL_CHILD, 0, 0, 0, 0);
	if (r > 0) {
		if (x->lifetime)
			i.end = i.begin + (int64_t)x->lifetime * 1000000;
		i.watched[SIGNALS] = (struct poll_words){ signals, POLLIN, 0 };
		i.watched[EXECUTED] = (struct poll_words){ ends[0], POLLIN, 0 };
		i.watched[SOCKET] = (struct poll_words){ slot_fd(x, a->sync), POLLIN, 0 };
		i.watched[CALLER] = (struct poll_words){ slot_fd(x, a->caller), POLLIN, 0 };
		stay(x, &i);
	}
	quiet_close(signals);
	quiet_close(ends[0]);
	if (r < 0) {
		quiet_close(ends[1]);
		return r;
	}
	/* A process group of its own, in front of the terminal: Ctrl-C reaches the program once, and init not at all.
	 * The pipe's end stays open until execve has succeeded. */
	r = (int)SYS2(x, __NR_setpgid, 0, 0);
	if (r == 0 && a->terminal) {
		int own = (int)SYS0(x, __NR_getpid);

		r = (int)SYS3(x, __NR_ioctl, 0, TIOCSPGRP, &own);
	}
	return r;
}
