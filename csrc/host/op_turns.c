/* The turns: of the two sides at the barriers, and of the interpreter. */
#include "host.h"

#include <linux/fcntl.h>
#include <linux/wait.h>

#define LOOK_AGAIN 250 /* milliseconds */

/* Go on with the process that a staged helper has forked.  The number is its claim: only a child of ours counts. */
static int adopt(struct host_side *h, uint32_t pid)
{
	struct executor *x = &h->x;
	struct siginfo_words info = { 0 };
	int fd, r;

	h->shown->claim = pid;
	fd = (int)SYS2(x, __NR_pidfd_open, pid > 0x7fffffff ? 0x7fffffff : pid, 0);
	if (fd < 0)
		return fd;
	r = (int)SYS5(x, __NR_waitid, P_PIDFD, fd, &info, WEXITED | WNOHANG | WNOWAIT, 0);
	if (r < 0) {
		quiet_close(fd);
		return r;
	}
	h->shown->first = h->shown->pidfd;
	h->shown->pid = (int)pid;
	h->shown->pidfd = fd;
	h->shown->adopted = 1;
	return 0;
}

/* The helper is at a barrier, and waits. */
int host_await(struct host_side *h, const struct await_args *a)
{
	struct executor *x = &h->x;
	uint32_t message[2];
	int fd = -1, r;

	r = ocirun_hear(h->shown->sync, message, &fd, h->shown->idle);
	note_call(h, __NR_recvmsg, -1);
	if (r == -EINTR)
		return HOST_INTERRUPTED;
	if (r == -ETIMEDOUT)
		return HOST_SILENT;
	if (r <= 0)
		return r ? r : HOST_ENDED;
	if (message[0] != x->index) {
		quiet_close(fd);
		return -EPROTO;
	}
	h->shown->message = fd;
	return a->forks ? adopt(h, message[1]) : 0;
}

/* What came with the message is kept to be read when the container has ended. */
int host_keep_upper(struct host_side *h)
{
	quiet_close(h->shown->upper);
	h->shown->upper = h->shown->message;
	h->shown->message = -1;
	return h->shown->upper < 0 ? -EBADF : 0;
}

int host_answer(struct host_side *h)
{
	int r = ocirun_answer(h->shown->sync, h->x.index, 0, h->shown->answer);

	note_call(h, __NR_sendmsg, -1);
	let_go(&h->shown->answer);
	let_go(&h->shown->message);
	return r;
}

/* The helper closes its end once our death is no longer its own.  Where that
 * end is held open elsewhere its record says that it has gone on. */
int host_detach(struct host_side *h)
{
	uint32_t message[2], index = h->x.index;
	int r = ocirun_hear(h->shown->sync, message, NULL, LOOK_AGAIN);

	note_call(h, __NR_recvmsg, -1);
	if (r == -EINTR)
		return HOST_INTERRUPTED;
	if (r != -ETIMEDOUT)
		return r < 0 ? r : 0;
	r = (int)SYS4(&h->x, __NR_pread64, h->shown->progress, &index, sizeof(index), offsetof(struct progress, index));
	if (r < 0)
		return r;
	return index > h->x.index ? 0 : HOST_INTERRUPTED;
}

/* For the way back: with none left to have, it could not be gone. */
int host_hold_descriptors(struct host_side *h)
{
	struct executor *x = &h->x;
	long r = SYS4(x, __NR_openat, AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0);

	for (int i = 0; i < HELD && r >= 0; i++) {
		h->held[i] = (int)r;
		r = i + 1 < HELD ? SYS3(x, __NR_fcntl, h->held[0], F_DUPFD_CLOEXEC, 0) : 0;
	}
	return r < 0 ? (int)r : 0;
}

/* An operation that decides or talks. */
int host_ask(struct host_side *h)
{
	(void)h;
	return HOST_ASK;
}

/* One more turn of the caller's, between what is made ahead and what is run. */
int host_pause(struct host_side *h, const struct pause_args *a)
{
	return h->shown->go < (int)a->go ? HOST_READY : 0;
}
