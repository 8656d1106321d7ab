/* seccomp filters.  The runtime has compiled them; here the bytes are loaded.
 *
 * A filter holds from the moment it is loaded, for every call that is left, so
 * it is loaded as late as can be: by the child of each hook and by the helper
 * itself right before execve, when nothing else is left to be done
 * (hold_seccomp).  A filter with SCMP_ACT_NOTIFY cannot wait that long, as its
 * listener must have the descriptor when `create` returns (load_seccomp).  In a
 * learning run the listener is the runtime, which answers while it waits for
 * the program: that filter is loaded last, as one without a listener. */
#include "executor.h"

#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#define NO_LISTENER_YET -1
#define NO_LISTENER -2

/* struct sock_fprog and its instructions (linux/filter.h) */
struct filter_program {
	uint16_t length;
	const void *instructions;
};

static int take_filter(struct executor *x, uint64_t filter, uint64_t size, uint64_t flags)
{
	x->filter = plan_bytes(x, filter, size);
	x->filter_size = size;
	x->filter_flags = flags;
	if (!x->filter || (uintptr_t)x->filter % 4 || size % 8 || size / 8 > 4096 /* BPF_MAXINSNS */)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	return 0;
}

static int load(struct executor *x)
{
	struct filter_program program = { (uint16_t)(x->filter_size / 8), x->filter };

	return (int)SYS3(x, __NR_seccomp, SECCOMP_SET_MODE_FILTER, x->filter_flags, &program);
}

/* A filter that asks begins with five instructions: calls whose sixth argument is a random number, the token,
 * are let through.  So what is left to be done here (the listener is sent, execve) waits for nobody. */
static uint64_t token_of(const struct executor *x)
{
	const struct sock_filter *code = x->filter;

	return x->filter_size < 5 * sizeof(*code) ? 0 : (uint64_t)code[3].k << 32 | code[1].k;
}

/* The filter of hold_seccomp, if there is one: the last call before execve.
 * Its listener, if it has one, goes to the runtime as a report of init does. */
int seccomp_before_exec(struct executor *x)
{
	struct init_report r = { .index = x->index, .kind = INIT_LISTENER };
	int listener;

	if (!x->filter)
		return 0;
	listener = load(x);
	if (listener < 0 || !(x->filter_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return listener;
	x->token = token_of(x);
	return sync_send(x, slot_fd(x, SLOT_SYNC), &r, sizeof(r), listener);
}

/* Keep a filter for the hooks that follow and for the program. */
int op_hold_seccomp(struct executor *x, const struct hold_seccomp_args *a)
{
	return take_filter(x, a->filter, a->filter_length, a->flags);
}

/* The second thread: has no filter, so that no filter can keep the descriptor
 * from the runtime, and ends when it has handed it over. */
static int carry(void *argument)
{
	struct executor *x = argument;
	int64_t pause[2] = { 0, 50000 };
	int fd, r;

	while ((fd = __atomic_load_n(&x->listener, __ATOMIC_ACQUIRE)) == NO_LISTENER_YET)
		kernel_call(__NR_nanosleep, (long)pause, 0, 0, 0, 0, 0);
	if (fd >= 0) {
		r = sync_say(x, fd);
		/* Whoever holds it keeps the filter asking a listener that may be gone. */
		quiet_close(fd);
		if (r < 0) {
			progress_fail(x, -r);
			kernel_exit(1);
		}
	}
	return 0;
}

/* Loads the filter now, for all that follows, and hands its listener to the
 * runtime; as `send_fd`, but from a thread that the filter does not bind. */
int op_load_seccomp(struct executor *x, const struct load_seccomp_args *a)
{
	struct clone_args thread = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		.stack = (uintptr_t)x->stack,
		.stack_size = sizeof(x->stack),
	};
	int r = take_filter(x, a->filter, a->filter_length, a->flags);

	if (r < 0)
		return r;
	x->listener = NO_LISTENER_YET;
	x->last_call = __NR_clone3;
	r = (int)kernel_start(&thread, sizeof(thread), carry, x);
	if (r < 0)
		return r;
	r = load(x);
	x->filter = NULL;
	__atomic_store_n(&x->listener, r < 0 ? NO_LISTENER : r, __ATOMIC_RELEASE);
	if (r < 0)
		return r;
	return sync_hear(x, NULL);
}
