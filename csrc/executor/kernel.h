/* The one gate to the kernel.  The helper goes straight through it; the
 * recorder build of the tests puts a fake kernel behind it. */
#ifndef OCIRUN_KERNEL_H
#define OCIRUN_KERNEL_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#ifdef OCIRUN_RECORD
long kernel_call(long nr, long a, long b, long c, long d, long e, long f);
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
