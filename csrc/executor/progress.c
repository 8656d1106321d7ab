/* The progress record: shared memory that the runtime reads, possibly long
 * after this process is gone.  Numbers only. */
#include "executor.h"

#include <linux/time.h>

void progress_begin(struct executor *x, uint32_t index, uint32_t step)
{
	struct progress *p = x->progress;
	struct {
		int64_t sec;
		int64_t nsec;
	} now = { 0, 0 };

	p->index = index;
	if (step < p->stamp_count) {
		kernel_call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
		p->stamp[step].index = index;
		p->stamp[step].nanoseconds = (uint64_t)now.sec * 1000000000u + (uint64_t)now.nsec;
	}
}

void progress_fail(struct executor *x, int error)
{
	struct progress *p = x->progress;

	p->error = error;
	p->call = (uint32_t)x->last_call;
	p->fault = x->fault;
	p->detail = x->detail;
	/* The phase comes last: a reader that sees FAILED sees the rest too. */
	__atomic_store_n(&p->phase, PHASE_FAILED, __ATOMIC_RELEASE);
}

/* Keep the tail: what a program says last is what explains its end. */
void progress_output(struct executor *x, const char *bytes, size_t n)
{
	struct progress *p = x->progress;
	size_t have = p->output_length;

	if (have > PROGRESS_OUTPUT)
		have = 0;
	if (n >= PROGRESS_OUTPUT) {
		bytes_copy(p->output, bytes + n - PROGRESS_OUTPUT, PROGRESS_OUTPUT);
		p->output_length = PROGRESS_OUTPUT;
		return;
	}
	if (have + n > PROGRESS_OUTPUT) {
		size_t drop = have + n - PROGRESS_OUTPUT;

		bytes_copy(p->output, p->output + drop, have - drop);
		have -= drop;
	}
	bytes_copy(p->output + have, bytes, n);
	p->output_length = (uint32_t)(have + n);
}
