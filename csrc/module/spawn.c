/* Start the init helper.
 *
 * The child is made with CLONE_VM | CLONE_VFORK: it borrows our memory until it
 * has executed the helper, so its cost does not depend on how large this
 * process is, and no lock of this process can be held in it.  What runs there
 * is `child_main`: system calls made directly, no libc, no allocation, no
 * errno, all signals blocked, on a stack of its own. */
#define _GNU_SOURCE
#include "native.h"
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/wait.h>

#define STACK_SIZE 32768
#define SYS(nr, a, b, c, d, e) kernel_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
/* In the child: the caller's memory says which call was the last. */
#define CHILD(q, nr, a, b, c, d, e) ((q)->call = (nr), SYS(nr, a, b, c, d, e))

struct child {
	struct spawn_request *request;
	char base[16];
	int error;
};

/* Let every capability of the new user namespace survive execve: the ids are
 * not mapped yet, so the kernel would drop them all. */
static long keep_capabilities(struct spawn_request *q)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	long r = CHILD(q, __NR_capget, &header, data, 0, 0, 0);

	if (r < 0)
		return r;
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	r = CHILD(q, __NR_capset, &header, data, 0, 0, 0);
	for (int cap = 0; cap < 64 && r == 0; cap++)
		CHILD(q, __NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return r;
}

/* Put the descriptors where the plan says.  First all of them above the
 * target range, then down into it, so that none overwrites another. */
static long place_descriptors(struct spawn_request *q, int *helper)
{
	int top = q->fd_base + q->inherit_count, high[128], streams[3] = { -1, -1, -1 };
	long r;

	if (q->inherit_count > 127)
		return -EMFILE;
	for (int i = 0; i < q->inherit_count; i++) {
		r = CHILD(q, __NR_fcntl, q->inherit[i], F_DUPFD_CLOEXEC, top + 1, 0, 0);
		if (r < 0)
			return r;
		high[i] = (int)r;
	}
	for (int i = 0; i < 3; i++) {
		if (q->stdio[i] < 0)
			continue;
		r = CHILD(q, __NR_fcntl, q->stdio[i], F_DUPFD_CLOEXEC, top + 1, 0, 0);
		if (r < 0)
			return r;
		streams[i] = (int)r;
	}
	r = CHILD(q, __NR_fcntl, *helper, F_DUPFD_CLOEXEC, top + 1, 0, 0);
	if (r < 0)
		return r;
	*helper = (int)r;
	for (int i = 0; i < q->inherit_count; i++) {
		r = CHILD(q, __NR_dup3, high[i], q->fd_base + i, 0, 0, 0);
		if (r < 0)
			return r;
	}
	for (int i = 0; i < 3; i++) {
		r = streams[i] < 0 ? 0 : CHILD(q, __NR_dup3, streams[i], i, 0, 0, 0);
		if (r < 0)
			return r;
	}
	/* Between the standard streams and the slots only what was asked for. */
	for (int fd = 3; fd < q->fd_base; fd++) {
		int keep = 0;

		for (int i = 0; i < q->keep_count; i++)
			keep |= q->keep[i] == fd;
		if (!keep)
			CHILD(q, __NR_close, fd, 0, 0, 0, 0);
	}
	r = CHILD(q, __NR_close_range, top, *helper - 1, 0, 0, 0);
	if (r == 0)
		r = CHILD(q, __NR_close_range, *helper + 1, ~0u, 0, 0, 0);
	return r;
}

static int child_main(void *argument)
{
	struct child *c = argument;
	struct spawn_request *q = c->request;
	char *argv[] = { (char *)"ocirun-init", c->base, NULL }, *envp[] = { NULL };
	int helper = q->helper_fd;
	long r = 0;

	if (q->flags & CLONE_NEWUSER)
		r = keep_capabilities(q);
	if (r == 0)
		r = place_descriptors(q, &helper);
	if (r == 0)
		r = CHILD(q, __NR_execveat, helper, "", argv, envp, AT_EMPTY_PATH);
	c->error = (int)-r;
	return 127;
}

int ocirun_spawn(struct spawn_request *q)
{
	char stack[STACK_SIZE] __attribute__((aligned(16)));
	struct clone_args args = { 0 };
	struct child c = { .request = q };
	uint64_t all = ~0ull, old = 0;
	int pidfd = -1, digits = 0, base = q->fd_base;
	char text[12];
	long pid;

	do {
		text[digits++] = (char)('0' + base % 10);
		base /= 10;
	} while (base);
	for (int i = 0; i < digits; i++)
		c.base[i] = text[digits - 1 - i];
	args.flags = q->flags | CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
	args.pidfd = (uint64_t)(uintptr_t)&pidfd;
	args.exit_signal = SIGCHLD;
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = STACK_SIZE;
	if (q->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)q->cgroup_fd;
	}
	q->call = __NR_clone3;
	/* No handler may run in the child: it would run in our memory. */
	SYS(__NR_rt_sigprocmask, SIG_SETMASK, &all, &old, 8, 0);
	pid = kernel_start(&args, sizeof(args), child_main, &c);
	SYS(__NR_rt_sigprocmask, SIG_SETMASK, &old, 0, 8, 0);
	q->pidfd = pidfd;
	if (pid < 0)
		return (int)pid;
	if (c.error) {
		SYS(__NR_wait4, pid, 0, __WALL, 0, 0);
		if (pidfd >= 0)
			SYS(__NR_close, pidfd, 0, 0, 0, 0);
		q->pidfd = -1;
		return -c.error;
	}
	return (int)pid;
}
