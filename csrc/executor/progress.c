/* The progress record: shared memory that the runtime reads, possibly long
 * after this process is gone.  Numbers only. */
#include "executor.h"

#include <linux/time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t time_now(struct executor *x)
{
	int64_t now[2] = { 0, 0 };

	SYS2(x, __NR_clock_gettime, CLOCK_MONOTONIC, now);
	return now[0] * 1000000000 + now[1];
}

void progress_begin(struct executor *x, uint32_t step)
{
	struct progress *p = x->progress;

	p->index = x->index;
	if (step < p->stamp_count) {
		p->stamp[step].index = x->index;
		p->stamp[step].nanoseconds = (uint64_t)time_now(x);
	}
}

/* Calls that act on something with a name: which argument is its descriptor,
 * and which its text (a path, a type, an option), counted from 1; 0: none. */
#define OBJECTS(X)                                                                                         \
	X(chdir, 0, 1) X(chroot, 0, 1) X(dup3, 1, 0) X(execve, 0, 1) X(faccessat2, 1, 2) X(fchdir, 1, 0)    \
	X(fchmod, 1, 0) X(fchown, 1, 0) X(fchownat, 1, 2) X(fcntl, 1, 0) X(fsconfig, 1, 3) X(fsmount, 1, 0) \
	X(fsopen, 0, 1) X(fspick, 1, 2) X(fstatfs, 1, 0) X(getdents64, 1, 0) X(ioctl, 1, 0) X(lseek, 1, 0)  \
	X(memfd_create, 0, 1) X(mkdirat, 1, 2) X(mknodat, 1, 2) X(mount, 0, 2) X(mount_setattr, 1, 2)       \
	X(move_mount, 3, 4) X(open_tree, 1, 2) X(openat, 1, 2) X(openat2, 1, 2) X(pivot_root, 0, 1)         \
	X(read, 1, 0) X(readlinkat, 1, 2) X(recvmsg, 1, 0) X(renameat, 3, 4) X(sendfile, 1, 0)       \
	X(sendmsg, 1, 0) X(fsetxattr, 1, 2)                                                                 \
	X(setdomainname, 0, 1) X(sethostname, 0, 1) X(setns, 1, 0) X(setxattr, 0, 1) X(statx, 1, 2)         \
	X(symlinkat, 2, 3) X(umount2, 0, 1) X(unlinkat, 1, 2) X(utimensat, 1, 2)        \
	X(write, 1, 0)

/* Write down the last call and what it acted on. */
void progress_call(struct executor *x)
{
	static const struct {
		uint16_t nr;
		uint8_t fd, text;
	} objects[] = {
#define X(name, fd, text) { __NR_##name, fd, text },
		OBJECTS(X)
#undef X
	};
	struct progress *p = x->progress;
	const char *text = NULL;
	size_t n = 0;
	int fd = -1;

	p->call = (uint32_t)x->last_call;
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		if (objects[i].nr != x->last_call)
			continue;
		if (objects[i].fd)
			fd = (int)x->last_arg[objects[i].fd - 1];
		if (objects[i].text)
			text = (const char *)x->last_arg[objects[i].text - 1];
	}
	p->object_slot = (uint16_t)(fd >= 0 && fd <= 2 ? SLOT_LIMIT + fd + 1 : 0);
	for (uint32_t i = 0; i < SLOT_LIMIT && fd >= 0; i++)
		if (x->slot[i] == fd)
			p->object_slot = (uint16_t)(i + 1);
	while (text && n < PROGRESS_OBJECT && text[n])
		n++;
	if (n)
		bytes_copy(p->object, text, n);
	p->object_length = (uint16_t)n;
}

void progress_fail(struct executor *x, int error)
{
	struct progress *p = x->progress;

	p->error = error;
	if (x->fault != FAULT_HOOK_EXEC) /* the call was one of the hook's process, which has written it down */
		progress_call(x);
	p->fault = x->fault;
	p->detail = x->detail;
	/* The phase comes last: a reader that sees FAILED sees the rest too. */
	__atomic_store_n(&p->phase, PHASE_FAILED, __ATOMIC_RELEASE);
}

/* Keep the tail: what a program says last is what explains its end. */
void progress_output(struct executor *x, const char *bytes, size_t n)
{
	struct progress *p = x->progress;
	size_t have = p->output_length;

	if (have > PROGRESS_OUTPUT)
		have = 0;
	if (n >= PROGRESS_OUTPUT) {
		bytes_copy(p->output, bytes + n - PROGRESS_OUTPUT, PROGRESS_OUTPUT);
		p->output_length = PROGRESS_OUTPUT;
		return;
	}
	if (have + n > PROGRESS_OUTPUT) {
		size_t drop = have + n - PROGRESS_OUTPUT;

		bytes_copy(p->output, p->output + drop, have - drop);
		have -= drop;
	}
	bytes_copy(p->output + have, bytes, n);
	p->output_length = (uint32_t)(have + n);
}
