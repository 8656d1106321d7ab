/* The signals of a process that passes them on: into a pipe, by number, all taken and given back in one call each.
 *
 * Sources: sigaction(2), signal-safety(7). */
#include "native.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#define LAST 64

/* How it was before, for each of the signals that were taken. */
struct taken {
	int pipe;
	uint64_t which;
	struct sigaction before[LAST];
};

static volatile sig_atomic_t pipe_end = -1;

static void note(int number)
{
	int kept = errno;
	unsigned char word = (unsigned char)number;
	/* A pipe that is full, and would block, loses the signal, as two of the same may become one. */
	ssize_t done = write(pipe_end, &word, 1);

	(void)done;
	errno = kept;
}

size_t ocirun_taken_size(void)
{
	return sizeof(struct taken);
}

/* `which` has a bit for each, the lowest for number 1; `fd` is the end of the pipe, which does not block.  One that
 * nobody can take is left as it is.  Calls that wait are interrupted, and the kernel does not begin them again. */
void ocirun_take_signals(int fd, uint64_t which, void *memory)
{
	struct taken *taken = memory;
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	taken->pipe = pipe_end;
	taken->which = 0;
	pipe_end = fd;
	for (int number = 1; number <= LAST; number++)
		if (which >> (number - 1) & 1 && sigaction(number, &action, &taken->before[number - 1]) == 0)
			taken->which |= 1UL << (number - 1);
}

void ocirun_give_signals_back(const void *memory)
{
	const struct taken *taken = memory;

	for (int number = 1; number <= LAST; number++)
		if (taken->which >> (number - 1) & 1)
			sigaction(number, &taken->before[number - 1], NULL);
	pipe_end = taken->pipe;
}
