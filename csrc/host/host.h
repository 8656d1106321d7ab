/* The host's side of a plan: what the runtime itself does around the helper,
 * in order, in one call, without the interpreter.  The same encoding, the same
 * way to note a failed call, the same rules as in ../executor; and each thing
 * that is made says how it is taken back.
 *
 * Where an operation has to decide or to talk (a group that somebody else has
 * made, hooks, systemd, CRIU) the interpreter is asked: see HOST_ASK. */
#ifndef OCIRUN_HOST_H
#define OCIRUN_HOST_H

#define SYS_FUNCTION sys_again
#include "executor.h"
#include "host_operations.h"
#include "native.h"

#define GROUP_LIMIT 32
#define UNDO_LIMIT 64
#define USAGE_LIMIT 24576
#define P_PIDFD 3 /* waitid(2) */
#define FIRST_OUTPUT 8192
#define CHUNK 65536 /* of an output, read at once */
#define HELD 5 /* removing a state directory takes four, a module that words an error two */

/* The container's cgroup in one hierarchy. */
struct group {
	uint64_t name; /* offset of the text: equal texts are stored once */
	const char *path;
	uint32_t kind;	  /* GROUP_* */
	int parent;	  /* the directory above, until the group is made, or -1 */
	int directory;	  /* or -1 */
	uint64_t inode;
};

/* What a group needs besides its directory; runtime/ocirun/cgroup/drivers/cgroupfs.py has the same numbers. */
enum group_kind { GROUP_CPUSET = 1, GROUP_FREEZER = 2, GROUP_UNIFIED = 4, GROUP_BELOW = 8 /* in one of ours */ };

/* What takes back what was made, last first. */
enum undo_kind { UNDO_STATE = 1, UNDO_GROUP, UNDO_PROCESS };

struct undo {
	enum undo_kind kind;
	uint32_t number; /* of the group */
};

/* One execution.  Cleared at its beginning up to `x`; what comes then is large, and written before it is read. */
struct host_side {
	struct host *shown; /* what Python sees */
	uint32_t step;
	const char *directory; /* path of the state directory */
	struct group group[GROUP_LIMIT];
	uint32_t group_count;
	struct undo undo[UNDO_LIMIT];
	uint32_t undo_count;
	int held[HELD]; /* descriptors of nothing, given back before the way back */
	int looked;	/* the record says that no group was there before */
	int start_in;	/* group in which the process starts, or -1 */
	int64_t begin;	/* of the program, nanoseconds of CLOCK_MONOTONIC */
	int told;	/* the word for start is given */
	int owner;	/* the process that has begun: in one that was forked off nothing is taken back */
	int started, ended; /* init has said that the program runs; how it ended */
	int gone;	/* the first process has ended */
	int over;	/* the timer has run off */
	int patience;	/* how long the caller's signals may wait for their handlers, in milliseconds */
	int epoll, timer;
	int processor;	/* the file with the container's processor time, or -1 */
	int64_t used, pause, look; /* of it, nanoseconds: at the last look; between two; when the next is due */
	int counted[2], rest[2]; /* bytes that the program has left in its outputs */
	int ours[2], theirs[3]; /* ends of the program's streams, or -1 */
	struct executor x;
	char usage[USAGE_LIMIT];
	char first[2][FIRST_OUTPUT]; /* of each output; what is longer is allocated */
	char more[2][FIRST_OUTPUT];  /* what is read and not kept */
};

/* asked.c */
int asked_begin(struct host_side *h, int listener);
int asked_serve(struct host_side *h);
void asked_close(struct host_side *h);

/* op_state.c */
int procfs_prove(struct executor *x, int fd);
int state_link(struct host_side *h, const char *name, const char *text);
int state_remove(struct host_side *h);

/* op_group.c */
int group_remove(struct host_side *h, struct group *g);
void groups_close(struct host_side *h);

/* op_limits.c */
int group_write(struct executor *x, int directory, const char *file, const char *text);

/* op_process.c */
int process_end(struct host_side *h);

/* op_streams.c */
void streams_close(struct host_side *h);
long stream_take(struct host_side *h, int number, size_t most);

int undo_push(struct host_side *h, enum undo_kind kind, uint32_t number);

/* A signal of the caller's may interrupt more than what waits: a limit of memory in cgroup v1, any file of FUSE or
 * NFS.  What waits uses `sys`, and lets the handler run. */
static inline long sys_again(struct executor *x, long nr, long a, long b, long c, long d, long e, long f)
{
	long r;

	do
		r = sys(x, nr, a, b, c, d, e, f);
	while (r == -EINTR);
	return r;
}

/* A call that was made elsewhere, with its first argument: for the record. */
static inline void note_call(struct host_side *h, long nr, long first)
{
	h->x.last_call = nr;
	for (int i = 1; i < 6; i++)
		h->x.last_arg[i] = 0;
	h->x.last_arg[0] = first;
}

/* Close, and forget. */
static inline void let_go(int *fd)
{
	quiet_close(*fd);
	*fd = -1;
}

#define X(number, name) int host_##name(struct host_side *h, const struct name##_args *a);
#define X0(number, name) int host_##name(struct host_side *h);
OCIRUN_HOST_OPS(X, X0)
#undef X
#undef X0

#endif
