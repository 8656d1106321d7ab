/* The loop over the operations, and nothing else. */
#include "executor.h"

int executor_init(struct executor *x, const void *plan, size_t size, struct progress *progress)
{
	int r = plan_check(plan, size);

	if (r < 0)
		return r;
	x->plan = plan;
	x->progress = progress;
	x->old_umask = -1;
	x->home_slot = SLOT_LIMIT;
	x->hook_log[0] = x->hook_log[1] = -1;
	for (uint32_t i = 0; i < SLOT_LIMIT; i++)
		x->slot[i] = i < x->plan->inherited ? (int)(x->plan->fd_base + i) : -1;
	return 0;
}

static int run_one(struct executor *x, uint16_t code, const void *arguments)
{
	switch (code) {
#define X(number, name) \
	case number:    \
		return op_##name(x, arguments);
#define X0(number, name) \
	case number:     \
		return op_##name(x);
		OCIRUN_OPS(X, X0)
#undef X
#undef X0
	default:
		return fault(x, FAULT_PLAN, code, EINVAL);
	}
}

int executor_run(struct executor *x)
{
	const struct op *ops = (const void *)((const char *)x->plan + x->plan->ops_offset);

	for (uint32_t i = 0; i < x->plan->op_count; i++) {
		const struct op *op = &ops[i];
		int r;

		x->index = op->index;
		progress_begin(x, i);
		x->last_call = -1;
		x->fault = FAULT_CALL;
		x->detail = 0;
		r = run_one(x, op->code, op->arg);
		if (r < 0) {
			progress_fail(x, -r);
			return r;
		}
	}
	__atomic_store_n(&x->progress->phase, PHASE_DONE, __ATOMIC_RELEASE);
	return 0;
}
