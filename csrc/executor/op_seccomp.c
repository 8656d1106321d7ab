/* seccomp filters.  The runtime has compiled them; here the bytes are loaded.
 *
 * A filter holds from the moment it is loaded, for every call that is left, so
 * it is loaded as late as can be: by the child of each hook and by the helper
 * itself right before execve, when nothing else is left to be done
 * (hold_seccomp).  A filter with SCMP_ACT_NOTIFY cannot wait that long, as its
 * listener must have the descriptor when `create` returns (load_seccomp). */
#include "executor.h"

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
	if (!x->filter || size % 8 || size / 8 > 4096 /* BPF_MAXINSNS */)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	return 0;
}

static int load(struct executor *x)
{
	struct filter_program program = { (uint16_t)(x->filter_size / 8), x->filter };

	return (int)SYS3(x, __NR_seccomp, SECCOMP_SET_MODE_FILTER, x->filter_flags, &program);
}

/* The filter of hold_seccomp, if there is one: the last call before execve. */
int seccomp_before_exec(struct executor *x)
{
	return x->filter ? load(x) : 0;
}

/* Keep a filter for the hooks that follow and for the program. */
int op_hold_seccomp(struct executor *x, const struct hold_seccomp_args *a)
{
	return take_filter(x, a->filter, a->filter_length, a->flags);
}

/* The second thread: has no filter, so that no filter can keep the descriptor
 * from the runtime, and ends when it has handed it over. */
static void carry(struct executor *x)
{
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
}

#ifdef OCIRUN_RECORD
/* The fake kernel has one thread: `carry` is called when there is something to carry. */
static long start_thread(struct executor *x, unsigned long flags)
{
	return SYS5(x, __NR_clone, flags, x->stack + sizeof(x->stack), 0, 0, 0) < 0 ? -EAGAIN : 1;
}
#else
static void thread_main(struct executor *x)
{
	carry(x);
	for (;;)
		kernel_call(__NR_exit, 0, 0, 0, 0, 0, 0);
}

/* clone(2) with a stack of its own; the new thread calls thread_main, which does not return. */
static long start_thread(struct executor *x, unsigned long flags)
{
	char *stack = x->stack + sizeof(x->stack);
	long result;

	x->last_call = __NR_clone;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = (long)thread_main;
	register long r9 __asm__("r9") = (long)x;

	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xor %%ebp, %%ebp\n"
			 "mov %%r9, %%rdi\n"
			 "call *%%r8\n"
			 "1:\n"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(flags), "S"(stack), "d"(0), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = __NR_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)stack;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register long x10 __asm__("x10") = (long)thread_main;
	register long x11 __asm__("x11") = (long)x;

	__asm__ volatile("svc 0\n"
			 "cbnz x0, 1f\n"
			 "mov x29, #0\n"
			 "mov x0, x11\n"
			 "blr x10\n"
			 "1:\n"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x10), "r"(x11)
			 : "memory", "cc", "x30");
	result = x0;
#endif
	return result;
}
#endif

/* Loads the filter now, for all that follows, and hands its listener to the
 * runtime; as `send_fd`, but from a thread that the filter does not bind. */
int op_load_seccomp(struct executor *x, const struct load_seccomp_args *a)
{
	int r = take_filter(x, a->filter, a->filter_length, a->flags);
	long thread;

	if (r < 0)
		return r;
	x->listener = NO_LISTENER_YET;
	thread = start_thread(x, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM);
	if (thread < 0)
		return (int)thread;
	r = load(x);
	x->filter = NULL;
	__atomic_store_n(&x->listener, r < 0 ? NO_LISTENER : r, __ATOMIC_RELEASE);
	if (r < 0)
		return r;
#ifdef OCIRUN_RECORD
	carry(x);
#endif
	return sync_hear(x, NULL);
}
