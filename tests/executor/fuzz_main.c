/* Runs plans from files through the executor with the fake kernel: each as it
 * is, then mutated, with answers at random.  Built with sanitizers by
 * test_fuzz.py.
 *
 *     fuzz SECONDS ROUNDS SEED FILE...        prints the number of runs
 */
#include "ops.h"
#include "record_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_SIZE (sizeof(struct progress) + 256 * 16)

static uint32_t state;

static uint32_t chance(uint32_t below)
{
	state = state * 1103515245u + 12345u;
	return (state >> 8) % below;
}

/* Values at the edges of what the decoder checks. */
static uint64_t odd_number(size_t size)
{
	static const uint64_t odd[] = { 0,   1,		 2,	     3,		 4,	7,	   95, 96, 97,
					255, 0x7fffffff, 0x80000000, 0xffffffff, ~0ull, 1ull << 63 };

	switch (chance(4)) {
	case 0:
		return odd[chance(sizeof(odd) / sizeof(*odd))];
	case 1:
		return size - 8 + chance(16);
	case 2:
		return chance((uint32_t)size);
	default:
		return (uint64_t)chance(1u << 24) << chance(40);
	}
}

static void mutate_operation(char *plan, size_t size, const struct plan_header *good)
{
	struct op *op = (void *)(plan + good->ops_offset + chance(good->op_count) * sizeof(struct op));

	if (chance(4) == 0)
		op->code = (uint16_t)chance(OP_LIMIT + 3);
	else
		op->arg[chance(6)] = odd_number(size);
}

static void mutate(char *plan, size_t size, const struct plan_header *good)
{
	for (uint32_t n = 1 + chance(6); n > 0; n--) {
		switch (chance(8)) {
		case 0: /* a word of the header */
			((uint32_t *)plan)[chance(8)] = (uint32_t)odd_number(size);
			break;
		case 1: /* any byte */
			plan[chance((uint32_t)size)] = (char)chance(256);
			break;
		case 2: { /* a word of the data: a vector's count or offset */
			size_t from = good->ops_offset + good->op_count * sizeof(struct op);

			if (size - from > 8)
				*(uint32_t *)(plan + (from & ~3u) + chance((uint32_t)(size - from) / 4) * 4) =
					(uint32_t)odd_number(size);
			break;
		}
		default:
			mutate_operation(plan, size, good);
		}
	}
}

/* In memory of exactly its size, so that one byte too far is seen. */
static void run(const char *bytes, size_t size, int how)
{
	char *plan = malloc(size ? size : 1), *progress = calloc(1, PROGRESS_SIZE);
	int outcome;

	memcpy(plan, bytes, size);
	((struct progress *)progress)->stamp_count = 256;
	record_begin(NULL, 0, -1, 0);
	if (how)
		record_chaos(chance(1u << 24));
	outcome = record_run(plan, size, progress);
	if (outcome == RECORD_RETURNED && record_status() < 0 && ((struct progress *)progress)->phase != PHASE_FAILED) {
		fprintf(stderr, "a failure that is not recorded\n");
		abort();
	}
	free(plan);
	free(progress);
}

static char *load(const char *name, size_t *size)
{
	FILE *file = fopen(name, "rb");
	char *bytes;

	if (!file)
		exit(2);
	fseek(file, 0, SEEK_END);
	*size = (size_t)ftell(file);
	rewind(file);
	bytes = malloc(*size);
	if (fread(bytes, 1, *size, file) != *size)
		exit(2);
	fclose(file);
	return bytes;
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + atoi(argv[1]);
	int rounds = atoi(argv[2]), runs = 0;

	state = (uint32_t)atoi(argv[3]);
	for (int round = 0; round < rounds && time(NULL) < end; round++) {
		for (int i = 4; i < argc; i++) {
			size_t size, cut;
			char *bytes = load(argv[i], &size), *copy = malloc(size);
			struct plan_header good = *(struct plan_header *)bytes;

			run(bytes, size, round > 0);
			memcpy(copy, bytes, size);
			mutate(copy, size, &good);
			run(copy, size, (int)chance(2));
			/* cut short, with a header that says so in half of the cases */
			cut = chance((uint32_t)size);
			if (cut >= sizeof(good) && chance(2))
				((struct plan_header *)copy)->size = (uint32_t)cut;
			run(copy, cut, 1);
			runs += 3;
			free(bytes);
			free(copy);
		}
	}
	record_begin(NULL, 0, -1, 0);
	printf("%d\n", runs);
	return 0;
}
