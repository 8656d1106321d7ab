/* A container that was made ahead: what it is to run comes later. */
#include "executor.h"

#include <linux/fcntl.h>

#define POLLIN 1
#define MAP_PRIVATE 2

struct stream_words {
	void *base;
	size_t length;
};

/* What the kernel writes for SCM_RIGHTS of at most four descriptors. */
struct rights_words {
	size_t length;
	int level, type;
	int fd[4];
};

struct receive_words {
	void *name;
	uint32_t name_length, pad;
	struct stream_words *io;
	size_t io_count;
	void *control;
	size_t control_length;
	uint32_t flags, pad2;
};

/* The program is the only operation of a plan of its own, whose bytes stay
 * mapped, as execve(2) reads its arguments there. */
static int take_program(struct executor *x, int fd)
{
	long size = SYS3(x, __NR_lseek, fd, 0, 2 /* SEEK_END */), at = size;
	const struct plan_header *own = x->plan, *program;
	const struct op *op;
	int r;

	if (size >= 0)
		at = SYS6(x, __NR_mmap, 0, size, 1 /* PROT_READ */, MAP_PRIVATE, fd, 0);
	quiet_close(fd);
	if (at < 0 && at > -4096)
		return (int)at;
	program = (const void *)at;
	if (plan_check(program, (size_t)size) < 0 || program->op_count != 1)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	op = (const void *)((const char *)program + program->ops_offset);
	if (op->code != OP_find_program)
		return fault(x, FAULT_PLAN, op->code, EINVAL);
	x->plan = program;
	r = op_find_program(x, (const void *)op->arg);
	x->plan = own;
	return r;
}

/* Wait for a program, or for the end of the calling process. */
int op_receive_program(struct executor *x, const struct receive_program_args *a)
{
	struct poll_words watched[2] = { { slot_fd(x, SLOT_SYNC), POLLIN, 0 }, { slot_fd(x, a->caller), POLLIN, 0 } };
	struct program_message m = { 0 };
	struct stream_words io = { &m, sizeof(m) };
	struct rights_words c = { .fd = { -1, -1, -1, -1 } };
	struct receive_words h = { .io = &io, .io_count = 1, .control = &c, .control_length = sizeof(c) };
	int next = 0, count;
	long r;

	do
		r = SYS5(x, __NR_ppoll, watched, 2, 0, 0, 8);
	while (r == -EINTR);
	if (r < 0)
		return (int)r;
	if (watched[1].revents)
		kernel_exit(1);
	r = SYS3(x, __NR_recvmsg, watched[0].fd, &h, 0x40000000 /* MSG_CMSG_CLOEXEC */);
	if (r < 0)
		return (int)r;
	if (r != sizeof(m))
		kernel_exit(1);
	count = h.control_length >= 16 && c.level == 1 && c.type == 1 ? (int)((c.length - 16) / sizeof(int)) : 0;
	/* Fewer than were sent: the limit on descriptors of the program holds already. */
	if (count != 1 + !!(m.streams & 1) + !!(m.streams & 2) + !!(m.streams & 4))
		return -EMFILE;
	for (int stream = 0; stream < 3; stream++) {
		int fd;

		if (!(m.streams >> stream & 1))
			continue;
		fd = c.fd[++next];
		r = SYS3(x, __NR_dup3, fd, stream, 0);
		quiet_close(fd);
		if (r < 0)
			return (int)r;
	}
	x->lifetime = m.lifetime;
	__atomic_store_n(&x->progress->phase, PHASE_STARTING, __ATOMIC_RELEASE);
	return take_program(x, c.fd[0]);
}
