/*
 * Runs in place of a dynamic loader: the image puts it at the PT_INTERP path of a
 * host program, so it is what runs when a container starts /proc/self/exe and
 * that is a dynamic host program.  It opens that program for writing and never
 * writes; then it keeps a read-only fd over execve for /late.
 *
 * No C library: the start code of one would read the headers of the other
 * program, and crash on a position-independent one.
 */
#include <sys/syscall.h>

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d)
{
    register long fourth __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                       x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#endif

#define AT_FDCWD (-100)
#define O_RDONLY 0
#define O_WRONLY 1

static void say(const char *text)
{
    int length = 0;
    while (text[length])
        length++;
    call(SYS_write, 1, (long)text, length, 0);
}

void _start(void)
{
    static char path[] = "/proc/self/fd/0";
    static char late[] = "/late";
    char *arguments[] = {late, path, 0}, *environment[] = {0};
    long fd = call(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_WRONLY, 0);
    say(fd < 0 ? "now: refused\n" : "now: OPENED\n");
    fd = call(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_RDONLY, 0);
    path[sizeof path - 2] = (char)('0' + fd);
    call(SYS_execve, (long)late, (long)arguments, (long)environment, 0);
    call(SYS_exit_group, 9, 0, 0, 0);
    for (;;)
        ;
}
