/* Preloaded interpreters: the file's layout, for who writes it (preload.c) and
 * who decides whether it may be executed (launcher.c). */
#ifndef OCIRUN_PRELOAD_H
#define OCIRUN_PRELOAD_H

#include <stdint.h>

/* An executable file: headers, the table, the segments. */
#define PRELOAD_TABLE 0x8000
#define PRELOAD_TABLE_MAX 0x20000
#define PRELOAD_SEGMENTS 0x30000 /* for pages of 64 KiB, which arm64 may have */
#define PRELOAD_MAGIC 0x316465726c70636fULL /* "ocplred1" */

/* What must be as it was: the processor, as libc has chosen functions for it,
 * and the files that the memory comes from.  The files follow the table. */
struct preload_table {
	uint64_t magic;
	uint64_t size; /* with all files */
	uint64_t hwcap, hwcap2; /* of getauxval(3), where it is not the loader's own invention */
	uint32_t processor[6];
	uint64_t count;
};

struct preload_file {
	uint64_t inode, size, seconds, nanoseconds;
	uint64_t length; /* of what follows: the path with a NUL, and padding to 8 bytes */
};

#if defined(__x86_64__)
#define PRELOAD_HWCAP 0
#else
#define PRELOAD_HWCAP 1
#endif

/* What a processor can do; cpuid(1) and cpuid(7) without what differs between its cores. */
static inline void preload_processor(uint32_t found[6])
{
#if defined(__x86_64__)
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	found[0] = a;
	found[1] = c;
	found[2] = d;
	a = 7;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	found[3] = b;
	found[4] = c;
	found[5] = d;
#else
	uint64_t zeroing; /* DCZID_EL0, which memset goes by; the hardware capabilities say the rest */

	__asm__ volatile("mrs %0, dczid_el0" : "=r"(zeroing));
	found[0] = (uint32_t)zeroing;
	for (int i = 1; i < 6; i++)
		found[i] = 0;
#endif
}

#ifdef PRELOAD_WRITES
/* Write this process to a file that goes on in preload_continue() when it is
 * executed.  `also`: more files that must not change, ended by NULL.
 * 0 or minus an errno. */
int preload_write(const char *path, char *const *also);

_Noreturn void preload_continue(char **argv, char **envp);
#endif
#endif
