/* Ends with status 42, and makes no other system call: the program that any filter can be tried with. */
#include <sys/syscall.h>

void _start(void)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(42) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_exit_group, x0 __asm__("x0") = 42;
    __asm__ volatile("svc 0" : : "r"(x8), "r"(x0) : "memory");
#endif
    for (;;)
        ;
}
