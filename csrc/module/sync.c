/* The runtime's side of the sync socket. */
#define _GNU_SOURCE
#include "native.h"
#include "kernel.h"
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* One message of at most `size` bytes: how many there are, or 0 if the other side is closed.  What comes is treated
 * as hostile: wrong sizes and extra descriptors are errors, closed.  `fd` gets the one that may come along, or -1. */
int ocirun_receive(int socket, void *bytes, size_t size, int *fd, int flags)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec io = { bytes, size };
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control };
	int count = 0, taken = -1;
	long n;

	h.msg_controllen = sizeof(control);
	n = kernel_call(__NR_recvmsg, socket, (long)&h, MSG_CMSG_CLOEXEC | flags, 0, 0, 0);
	if (n < 0)
		return n == -ECONNRESET ? 0 : (int)n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int got;

			memcpy(&got, CMSG_DATA(c) + at, sizeof(got));
			if (count++ == 0)
				taken = got;
			else
				kernel_call(__NR_close, got, 0, 0, 0, 0, 0);
		}
	}
	if (n != (long)size || count > 1 || (count && !fd) || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		if (taken >= 0)
			kernel_call(__NR_close, taken, 0, 0, 0, 0, 0);
		return n == 0 ? 0 : -EPROTO;
	}
	if (fd)
		*fd = taken;
	return (int)n;
}

/* 1: a message; 0: the other side is closed; -ETIMEDOUT. */
int ocirun_hear(int socket, uint32_t message[2], int *fd, int timeout_ms)
{
	struct pollfd p = { socket, POLLIN, 0 };
	int64_t limit[2] = { timeout_ms / 1000, timeout_ms % 1000 * 1000000 };
	long n = kernel_call(__NR_ppoll, (long)&p, 1, timeout_ms < 0 ? 0 : (long)limit, 0, 0, 0);

	if (n <= 0)
		return n == 0 ? -ETIMEDOUT : (int)n;
	n = ocirun_receive(socket, message, 2 * sizeof(uint32_t), fd, 0);
	return n > 0 ? 1 : (int)n;
}

int ocirun_answer(int socket, uint32_t index, uint32_t value, int fd)
{
	struct sync_message m = { index, value };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec io = { &m, sizeof(m) };
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
	long r;

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		r = kernel_call(__NR_sendmsg, socket, (long)&h, MSG_NOSIGNAL, 0, 0, 0);
	while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}
