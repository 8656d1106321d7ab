/* The init helper: a static program without libc that maps the plan and the
 * progress record and runs the executor.  It is started from a sealed memfd in
 * the container's new namespaces; argv[1] is the number of its first
 * inherited descriptor. */
#include "executor/executor.h"

#include <linux/fcntl.h>

#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call helper_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x0, sp\n"
	"	bl helper_main\n");
#endif

static struct executor executor;

static long map(int fd, size_t size, int protection)
{
	return kernel_call(__NR_mmap, 0, (long)size, protection, 1 /* MAP_SHARED */, fd, 0);
}

static size_t size_of(int fd)
{
	long end = kernel_call(__NR_lseek, fd, 0, 2 /* SEEK_END */, 0, 0, 0);

	return end < 0 ? 0 : (size_t)end;
}

_Noreturn void helper_main(long *stack);

_Noreturn void helper_main(long *stack)
{
	char **argv = (char **)(stack + 1);
	int base = 0;
	size_t plan_size, progress_size;
	long plan, progress;

	if (stack[0] < 2)
		kernel_exit(2);
	for (const char *c = argv[1]; *c >= '0' && *c <= '9'; c++)
		base = base * 10 + (*c - '0');
	plan_size = size_of(base + SLOT_PLAN);
	progress_size = size_of(base + SLOT_PROGRESS);
	if (progress_size < sizeof(struct progress))
		kernel_exit(2);
	plan = map(base + SLOT_PLAN, plan_size, 1);
	progress = map(base + SLOT_PROGRESS, progress_size, 3);
	if ((plan < 0 && plan > -4096) || (progress < 0 && progress > -4096))
		kernel_exit(2);
	if (executor_init(&executor, (const void *)plan, plan_size, (struct progress *)progress) < 0) {
		((struct progress *)progress)->fault = FAULT_PLAN;
		((struct progress *)progress)->phase = PHASE_FAILED;
		kernel_exit(2);
	}
	executor.progress->phase = PHASE_SETUP;
	kernel_exit(executor_run(&executor) < 0 ? 1 : 0);
}
