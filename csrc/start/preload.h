/* Preloaded interpreters: the file's layout, for who writes it (preload.c) and
 * who decides whether it may be executed (fits.c, for the launcher). */
#ifndef OCIRUN_PRELOAD_H
#define OCIRUN_PRELOAD_H

#include <stdint.h>

/* An executable file: headers, the table, the segments. */
#define PRELOAD_TABLE 0x8000
#define PRELOAD_TABLE_MAX 0x20000
#define PRELOAD_SEGMENTS 0x30000 /* for pages of 64 KiB, which arm64 may have */
#define PRELOAD_MAGIC 0x326465726c70636fULL /* "ocplred2" */

/* What it needs besides its segments: the kernel's own mappings, and some memory to begin with. */
#define PRELOAD_ROOM (4UL << 20)
#define PRELOAD_PROCESSOR 15

/* What must be as it was: the processor, as libc has chosen functions for it,
 * and the files that the memory comes from.  The files follow the table. */
struct preload_table {
	uint64_t magic;
	uint64_t size; /* with all files */
	uint64_t hwcap, hwcap2; /* of getauxval(3), where it is not the loader's own invention */
	uint64_t page;
	uint64_t memory, data; /* bytes that RLIMIT_AS and RLIMIT_DATA count */
	uint32_t processor[PRELOAD_PROCESSOR];
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

#if defined(__x86_64__)
/* cpuid(leaf, part), of which those registers are kept whose letters are given. */
static inline uint32_t *preload_ask(uint32_t *to, uint32_t leaf, uint32_t part, const char *registers)
{
	uint32_t a = leaf, b, c = part, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	for (; *registers; registers++)
		*to++ = *registers == 'a' ? a : *registers == 'b' ? b : *registers == 'c' ? c : d;
	return to;
}
#endif

/* What a processor can do, by all that libc goes by, without what differs between its cores; and which registers the
 * kernel keeps, as one that does not use AVX turns it off (XCR0). */
static inline void preload_processor(uint32_t found[PRELOAD_PROCESSOR])
{
	uint32_t *at = found;
#if defined(__x86_64__)
	uint32_t most;

	preload_ask(&most, 0, 0, "a");
	at = preload_ask(at, 0, 0, "bcd"); /* the maker */
	at = preload_ask(at, 1, 0, "acd");
	if (found[4] & 1 << 27) {
		__asm__ volatile("xgetbv" : "=a"(at[0]), "=d"(at[1]) : "c"(0));
		at += 2;
	}
	if (most >= 7) {
		at = preload_ask(at, 7, 0, "bcd");
		at = preload_ask(at, 7, 1, "a");
	}
	if (most >= 13)
		at = preload_ask(at, 13, 1, "a");
	preload_ask(&most, 0x80000000, 0, "a");
	if (most >= 0x80000001)
		at = preload_ask(at, 0x80000001, 0, "cd");
#else
	uint64_t zeroing; /* DCZID_EL0, which memset goes by; the hardware capabilities say the rest */

	__asm__ volatile("mrs %0, dczid_el0" : "=r"(zeroing));
	*at++ = (uint32_t)zeroing;
#endif
	while (at < found + PRELOAD_PROCESSOR)
		*at++ = 0;
}

/* What the kernel tells a process of the machine: AT_HWCAP, AT_HWCAP2, AT_PAGESZ. */
struct preload_machine {
	uint64_t hwcap, hwcap2, page;
};

/* Whether there is a preloaded interpreter at `path` and it is what this machine would load now: the same libraries and
 * modules, and a processor for which libc would choose the same functions.
 * Where it is not, `why` (of PATH_LIMIT bytes) gets a word for it. */
int preload_fits(const char *path, const struct preload_machine *machine, char *why);

#ifdef PRELOAD_WRITES
/* Write this process to a file that goes on in preload_continue() when it is
 * executed.  `also`: more files that must not change, ended by NULL.
 * 0 or minus an errno. */
int preload_write(const char *path, char *const *also);

/* The memory that commands write to, by kind: stretches of it, ended by one without a length. */
enum { PRELOAD_ALWAYS, PRELOAD_MAKING, PRELOAD_KINDS };
#define PRELOAD_TOUCHED 256
struct preload_stretch {
	unsigned long start, length;
};
extern struct preload_stretch preload_touched[PRELOAD_KINDS][PRELOAD_TOUCHED];

/* Where that is in the file that was written; none are known there yet. */
unsigned long preload_touched_offset(void);

/* Have copies of that memory made. */
void preload_fetch(int kind);

_Noreturn void preload_continue(char **argv, char **envp);
#endif
#endif
