/* The loop over the host's operations, and the way back. */
#include "host.h"

#include <linux/errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct host_side *side(struct host *h)
{
	return h->memory;
}

size_t ocirun_host_memory(void)
{
	return sizeof(struct host_side);
}

/* `plan`, `record` and `memory` are the caller's.  The large parts of the
 * memory are not touched before they are used. */
static int begin(struct host *shown)
{
	struct host_side *h = side(shown);
	int r = plan_check(shown->plan, shown->plan_size);

	if (r < 0)
		return r;
	memset(h, 0, offsetof(struct host_side, x));
	memset(&h->x, 0, offsetof(struct executor, program));
	h->shown = shown;
	h->owner = (int)kernel_call(__NR_getpid, 0, 0, 0, 0, 0, 0);
	h->x.plan = shown->plan;
	h->x.progress = shown->record;
	for (int i = 0; i < SLOT_LIMIT; i++)
		h->x.slot[i] = -1;
	shown->slot = h->x.slot;
	shown->directory = shown->answer = shown->message = shown->upper = -1;
	shown->pidfd = shown->first = shown->sync = shown->progress = -1;
	shown->start_in = shown->epoll = -1;
	for (int i = 0; i < HELD; i++)
		h->held[i] = -1;
	h->start_in = h->epoll = h->timer = h->processor = -1;
	h->ours[0] = h->ours[1] = h->theirs[0] = h->theirs[1] = h->theirs[2] = -1;
	for (int i = 0; i < 2; i++) {
		shown->output[i].kept = h->first[i];
		shown->output[i].room = FIRST_OUTPUT;
	}
	shown->usage = h->usage;
	shown->begun = 1;
	return 0;
}

/* Descriptors that only the way to `ready` needs. */
void ocirun_host_let_go(struct host *shown)
{
	struct host_side *h = side(shown);

	if (!shown->begun)
		return;
	for (int i = 0; i < SLOT_LIMIT; i++)
		let_go(&h->x.slot[i]);
	for (uint32_t i = 0; i < h->group_count; i++)
		let_go(&h->group[i].parent);
	for (int i = 0; i < HELD; i++)
		let_go(&h->held[i]);
	let_go(&h->start_in);
	let_go(&h->shown->start_in);
}

static void close_all(struct host_side *h)
{
	struct host *s = h->shown;

	ocirun_host_let_go(s);
	groups_close(h);
	streams_close(h);
	asked_close(h);
	let_go(&s->directory);
	let_go(&s->answer);
	let_go(&s->message);
	let_go(&s->pidfd);
	let_go(&s->first);
	let_go(&s->sync);
	let_go(&s->progress);
}

/* What was made and not committed goes too: the caller may have been torn out
 * of its work at any point, by an exception from a signal handler for one. */
void ocirun_host_free(struct host *shown)
{
	struct host_side *h = side(shown);
	int64_t pause[2] = { 0, 5000000 };

	if (!shown->begun)
		return;
	ocirun_host_let_go(shown);
	for (int tries = 200; ocirun_host_undo(shown) && tries; tries--)
		kernel_call(__NR_nanosleep, (long)pause, 0, 0, 0, 0, 0);
	close_all(h);
	let_go(&shown->upper);
	for (int i = 0; i < 2; i++)
		if (shown->output[i].kept != h->first[i])
			free(shown->output[i].kept);
	shown->begun = 0;
}

/* The end of a run is what takes back a creation.  With it nothing is held any
 * more but what the program has said, where that is long, and what it has written. */
int host_remove_run(struct host_side *h)
{
	struct host *s = h->shown;

	ocirun_host_let_go(s);
	s->left = ocirun_host_undo(s);
	if (s->left || s->asked)
		return 0;
	close_all(h);
	s->begun = s->output[0].kept != h->first[0] || s->output[1].kept != h->first[1] || s->upper >= 0;
	return 0;
}

static int run_one(struct host_side *h, const struct op *op)
{
	switch (op->code) {
#define X(number, name) \
	case number:    \
		return host_##name(h, (const void *)op->arg);
#define X0(number, name) \
	case number:     \
		return host_##name(h);
		OCIRUN_HOST_OPS(X, X0)
#undef X
#undef X0
	default:
		return fault(&h->x, FAULT_PLAN, op->code, EINVAL);
	}
}

/* Until the interpreter is asked (enum host_turn), or the end of the plan.
 * After a failure, -errno, the record says what failed. */
int ocirun_host_run(struct host *shown)
{
	struct host_side *h = side(shown);
	struct executor *x = &h->x;
	const struct op *ops;

	if (!shown->begun) {
		int r = begin(shown);

		if (r < 0)
			return r;
	}
	ops = (const void *)((const char *)x->plan + x->plan->ops_offset);
	while (h->step < x->plan->op_count) {
		const struct op *op = &ops[h->step];
		int r;

		shown->index = x->index = op->index;
		progress_begin(x, h->step);
		x->last_call = -1;
		x->fault = FAULT_CALL;
		x->detail = 0;
		r = run_one(h, op);
		if (r < 0) {
			progress_fail(x, -r);
			return r;
		}
		if (r <= HOST_ASK || r == HOST_SERVED)
			h->step++;
		if (r)
			return r;
	}
	return HOST_DONE;
}

int undo_push(struct host_side *h, enum undo_kind kind, uint32_t number)
{
	if (h->undo_count == UNDO_LIMIT)
		return -E2BIG;
	h->undo[h->undo_count++] = (struct undo){ kind, number };
	return 0;
}

/* Take back, last first; what cannot be taken back stays in the list, as
 * whoever tries next may have more patience.  Returns how many are left. */
int ocirun_host_undo(struct host *shown)
{
	struct host_side *h = side(shown);
	struct undo left[UNDO_LIMIT];
	uint32_t count = 0;

	if (!shown->begun || h->owner != (int)kernel_call(__NR_getpid, 0, 0, 0, 0, 0, 0))
		return 0;
	for (uint32_t i = h->undo_count; i > 0; i--) {
		struct undo *u = &h->undo[i - 1];
		int r;

		/* The record goes when nothing is left that it tells of. */
		if (count && u->kind == UNDO_STATE)
			r = -EBUSY;
		else if (u->kind == UNDO_PROCESS)
			r = process_end(h);
		else if (u->kind == UNDO_GROUP)
			r = group_remove(h, &h->group[u->number]);
		else
			r = state_remove(h);
		if (r < 0)
			left[count++] = *u;
	}
	for (uint32_t i = 0; i < count; i++)
		h->undo[i] = left[count - 1 - i];
	h->undo_count = count;
	return (int)count;
}

/* What was made stays, whatever becomes of this object. */
void ocirun_host_commit(struct host *shown)
{
	if (shown->begun)
		side(shown)->undo_count = 0;
}

uint64_t ocirun_host_inode(const struct host *shown, unsigned int number)
{
	const struct host_side *h = shown->memory;

	return shown->begun && number < h->group_count ? h->group[number].inode : 0;
}
