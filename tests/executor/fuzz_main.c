/* Runs plans from files through one side of a plan with the fake kernel: each as
 * it is, then mutated, with answers at random.  Built with sanitizers by
 * test_fuzz.py.
 *
 *     fuzz helper|host SECONDS ROUNDS SEED FILE...        prints the number of runs
 */
#include "ops.h"
#include "native.h"
#include "record_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_SIZE (sizeof(struct progress) + 256 * 16)
#define TURNS 60 /* of the host's side, and then its caller gives up */
#define HOST_LIMIT 64 /* above all numbers of its operations */

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
		op->code = (uint16_t)chance(OP_LIMIT > HOST_LIMIT ? OP_LIMIT + 3 : HOST_LIMIT);
	else
		op->arg[chance(7)] = odd_number(size);
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

static void must(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static int is_recorded(const char *progress)
{
	return ((const struct progress *)progress)->phase == PHASE_FAILED;
}

static void run_helper(const char *plan, size_t size, char *progress, int damaged)
{
	(void)damaged;
	if (record_run(plan, size, progress) == RECORD_RETURNED && record_status() < 0)
		must(is_recorded(progress), "a failure that is not recorded");
}

/* As the interpreter does; it gives up at any turn. */
static void run_host(const char *plan, size_t size, char *progress, int damaged)
{
	static const uint64_t allow[] = { 0x7fff000000000006ull }; /* one instruction */
	struct asked_call calls[8] = { 0 };
	struct asked questions = {
		.call = calls, .room = 8, .mask = chance(64), .profile = allow, .profile_size = sizeof(allow),
		.answers = allow, .answers_size = sizeof(allow), .listener = -1, .proc = -1,
	};
	size_t room = ocirun_host_memory();
	struct host side = {
		.plan = plan, .plan_size = size, .record = progress, .memory = malloc(room),
		.init_plan = "plan", .init_size = 4, .fd_base = 3, .inherited = 3, .idle = 10,
		.stdio = { -1, -1, -1 }, .given = { -1, -1, -1 }, .input = "in", .input_size = 2,
		.names = "n", .names_size = 1, .lifetime = chance(3), .processors = 2,
		.processor_limit = chance(2) * 1000000000ull, .go = (int)chance(2), .polled = (int)chance(2),
		.streamed = (int)chance(2), .kills = (int)chance(2), .has_init = (int)chance(3),
		.questions = chance(2) ? &questions : NULL,
	};
	int turns = 1 + (int)chance(TURNS), turn = HOST_ASK;

	/* The host's side clears what it reads. */
	memset(side.memory, 0xa5, room);
	side.output[0].limit = side.output[1].limit = 100;
	record_host(progress);
	while (turns-- && turn > HOST_DONE) {
		turn = ocirun_host_run(&side);
		if (turn == HOST_READY)
			side.go = 1;
		if (turn == HOST_LATE)
			ocirun_host_allow(&side, 10);
		if (chance(4) == 0)
			ocirun_host_asked(&side);
		side.output[0].fresh_size = side.output[1].fresh_size = 0;
	}
	if (turn < 0 && side.begun)
		must(is_recorded(progress), "a failure that is not recorded");
	ocirun_host_free(&side);
	/* A damaged one may open twice into one slot, and ask of an empty one. */
	for (int fd = 200; !damaged && fd < record_next_descriptor(); fd++)
		must(!record_is_open(fd), "a descriptor that is left open");
	must(damaged || record_wrong_descriptors() == 0, "a descriptor that is used after it was closed");
	free(side.memory);
}

static void (*run_side)(const char *plan, size_t size, char *progress, int damaged);

/* In memory of exactly its size, so that one byte too far is seen. */
static void run(const char *bytes, size_t size, int chaotic, int damaged)
{
	char *plan = malloc(size ? size : 1), *progress = calloc(1, PROGRESS_SIZE);

	memcpy(plan, bytes, size);
	((struct progress *)progress)->stamp_count = 256;
	record_begin(NULL, 0, -1, 0);
	if (chaotic)
		record_chaos(chance(1u << 24));
	run_side(plan, size, progress, damaged);
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
	time_t end = time(NULL) + atoi(argv[2]);
	int rounds = atoi(argv[3]), runs = 0;

	run_side = strcmp(argv[1], "host") == 0 ? run_host : run_helper;
	state = (uint32_t)atoi(argv[4]);
	for (int round = 0; round < rounds && time(NULL) < end; round++) {
		for (int i = 5; i < argc; i++) {
			size_t size, cut;
			char *bytes = load(argv[i], &size), *copy = malloc(size);
			struct plan_header good = *(struct plan_header *)bytes;

			run(bytes, size, round > 0, 0);
			memcpy(copy, bytes, size);
			mutate(copy, size, &good);
			run(copy, size, (int)chance(2), 1);
			/* cut short, with a header that says so in half of the cases */
			cut = chance((uint32_t)size);
			if (cut >= sizeof(good) && chance(2))
				((struct plan_header *)copy)->size = (uint32_t)cut;
			run(copy, cut, 1, 1);
			runs += 3;
			free(bytes);
			free(copy);
		}
	}
	record_begin(NULL, 0, -1, 0);
	printf("%d\n", runs);
	return 0;
}
