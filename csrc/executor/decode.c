/* Access to the plan.  It comes from our own encoder in a sealed memfd, and
 * is still read as if it came from an enemy: every offset is checked. */
#include "executor.h"

#include <linux/errno.h>

int plan_check(const void *plan, size_t size)
{
	const struct plan_header *h = plan;

	if (size < sizeof(*h) || h->magic != OCIRUN_PLAN_MAGIC || h->format != OCIRUN_PLAN_FORMAT)
		return -EINVAL;
	if (h->size != size || ((const char *)plan)[size - 1] != 0)
		return -EINVAL;
	if (h->ops_offset % 8 || h->ops_offset < sizeof(*h) || h->ops_offset > size)
		return -EINVAL;
	if (h->op_count > (size - h->ops_offset) / sizeof(struct op))
		return -EINVAL;
	if (h->inherited <= SLOT_SYNC || h->inherited > SLOT_LIMIT || h->fd_base < 3 || h->fd_base > 65536)
		return -EINVAL;
	return 0;
}

/* A NUL-terminated string.  The last byte of the plan is NUL, so an offset
 * inside the plan is enough. */
const char *plan_text(const struct executor *x, uint64_t offset)
{
	if (offset == 0 || offset >= x->plan->size)
		return NULL;
	return (const char *)x->plan + offset;
}

const void *plan_bytes(const struct executor *x, uint64_t offset, uint64_t length)
{
	if (offset == 0 || offset >= x->plan->size || length > x->plan->size - offset)
		return NULL;
	return (const char *)x->plan + offset;
}

/* A vector with each of its strings inside the plan. */
const struct plan_vector *plan_vector(const struct executor *x, uint64_t offset)
{
	const struct plan_vector *v = plan_bytes(x, offset, sizeof(*v));

	if (!v || offset % 4 || v->count > (x->plan->size - offset - sizeof(*v)) / sizeof(v->offset[0]))
		return NULL;
	for (uint32_t i = 0; i < v->count; i++)
		if (!plan_text(x, v->offset[i]))
			return NULL;
	return v;
}

int *slot_at(struct executor *x, uint64_t slot)
{
	return slot < SLOT_LIMIT ? &x->slot[slot] : NULL;
}

/* The descriptor of a slot, or -EBADF: an empty slot never turns into AT_FDCWD. */
int slot_fd(struct executor *x, uint64_t slot)
{
	int *at = slot_at(x, slot);

	return at && *at >= 0 ? *at : -EBADF;
}

int slot_set(struct executor *x, uint64_t slot, int fd)
{
	int *at = slot_at(x, slot);

	if (!at)
		return fault(x, FAULT_PLAN, slot, EINVAL);
	quiet_close(*at);
	*at = fd;
	return 0;
}
