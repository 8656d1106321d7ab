/* The memory that commands write to, which a process of a preloaded interpreter asks for at once.
 *
 * A page that is first read and then written to costs it four times as much as one of many that it asks for together.
 *
 * Source: madvise(2). */
#define _GNU_SOURCE
#define PRELOAD_WRITES
#include "preload.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* What learn() in preload.py has found; it is put here in the file. */
struct preload_stretch preload_touched[PRELOAD_KINDS][PRELOAD_TOUCHED];

void preload_fetch(int kind)
{
	const struct preload_stretch *of = preload_touched[kind];

	/* Before Linux 5.14 there is no such advice, and each page is copied when it is written to. */
	for (int i = 0; i < PRELOAD_TOUCHED && of[i].length; i++)
		if (syscall(SYS_madvise, of[i].start, of[i].length, MADV_POPULATE_WRITE) < 0)
			break;
}
