/*
 * Makes one system call; the exit status is its errno, 0 when it succeeded.
 *
 *   syscall [i386|x32] NUMBER [ARGUMENT]...
 *
 * i386 and x32 are the other ABIs of an x86-64 kernel, reached from 64-bit code:
 * int 0x80, and numbers with bit 30.  More than one call may be given, with ","
 * between; the status is that of the last.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long other_abi(const char *abi, const unsigned long *word)
{
#if defined(__x86_64__)
    long result;
    if (strcmp(abi, "x32") == 0) {
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(word[0] | 0x40000000), "D"(word[1]), "S"(word[2]), "d"(word[3])
                         : "rcx", "r11", "memory");
        return result;
    }
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(word[0]), "b"(word[1]), "c"(word[2]), "d"(word[3])
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
#else
    (void)abi;
    (void)word;
    return -ENOSYS;
#endif
}

int main(int argc, char **argv)
{
    int status = 0;
    for (int at = 1; at < argc; at++) {
        unsigned long word[7] = { 0 };
        const char *abi = strcmp(argv[at], "i386") == 0 || strcmp(argv[at], "x32") == 0 ? argv[at++] : "";
        for (int i = 0; at < argc && strcmp(argv[at], ",") != 0; at++)
            if (i < 7)
                word[i++] = strtoul(argv[at], NULL, 0);
        long result = *abi ? other_abi(abi, word)
                           : syscall((long)word[0], word[1], word[2], word[3], word[4], word[5], word[6]);
        if (*abi && result < 0 && result > -4096)
            status = (int)-result;
        else
            status = !*abi && result == -1 ? errno : 0;
    }
    return status;
}
