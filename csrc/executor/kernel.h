/* The one gate to the kernel, of the helper and of the host's side.  It goes
 * straight through; the recorder build of the tests puts a fake kernel behind it. */
#ifndef OCIRUN_KERNEL_H
#define OCIRUN_KERNEL_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#ifdef OCIRUN_RECORD
long kernel_call(long nr, long a, long b, long c, long d, long e, long f);
long kernel_start(const void *args, size_t size, int (*run)(void *), void *argument);
_Noreturn void kernel_exit(int status);
#else

#if defined(__x86_64__)
static inline long kernel_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* clone3(2) of a process or a thread with a stack of its own, which runs `run` and ends with what that gives. */
static inline long kernel_start(const void *args, size_t size, int (*run)(void *), void *argument)
{
	long result;
	register long r8 __asm__("r8") = (long)run;
	register long r9 __asm__("r9") = (long)argument;

	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xor %%ebp, %%ebp\n"
			 "mov %%r9, %%rdi\n"
			 "call *%%r8\n"
			 "mov %%eax, %%edi\n"
			 "mov $60, %%eax\n"
			 "syscall\n"
			 "1:\n"
			 : "=a"(result)
			 : "a"(__NR_clone3), "D"(args), "S"(size), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long kernel_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return x0;
}

static inline long kernel_start(const void *args, size_t size, int (*run)(void *), void *argument)
{
	register long x8 __asm__("x8") = __NR_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = (long)size;
	register long x10 __asm__("x10") = (long)run;
	register long x11 __asm__("x11") = (long)argument;

	__asm__ volatile("svc 0\n"
			 "cbnz x0, 1f\n"
			 "mov x29, #0\n"
			 "mov x0, x11\n"
			 "blr x10\n"
			 "mov x8, #93\n"
			 "svc 0\n"
			 "1:\n"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x10), "r"(x11)
			 : "memory", "cc", "x30");
	return x0;
}
#else
#error "ocirun supports x86-64 and arm64"
#endif

_Noreturn static inline void kernel_exit(int status)
{
	kernel_call(__NR_exit_group, status, 0, 0, 0, 0, 0);
	/* A seccomp filter may have denied it. */
	kernel_call(__NR_exit, status, 0, 0, 0, 0, 0);
	__builtin_trap();
}
#endif

#endif
