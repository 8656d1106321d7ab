/* The operations of a plan that the init process runs, and the layout of the
 * two buffers it shares with the runtime: the plan (in) and the progress
 * record (out).  The list of the operations, OCIRUN_OPS, and the structures with
 * their arguments are made from runtime/ocirun/plan/ops.py, the other numbers
 * stand in Python too; a test holds the two against each other. */
#ifndef OCIRUN_OPS_H
#define OCIRUN_OPS_H

#include "operations.h"

#include <stdint.h>

#define OCIRUN_PLAN_MAGIC 0x31504e41u /* "ANP1" */
#define OCIRUN_PLAN_FORMAT 2u
#define OCIRUN_PROGRESS_MAGIC 0x31475250u

enum op_code {
#define X(number, name) OP_##name = number,
	OCIRUN_OPS(X, X)
#undef X
	OP_LIMIT
};

/* Slots 0 to 2 are always inherited; more inherited ones follow, then free ones. */
#define SLOT_PLAN 0
#define SLOT_PROGRESS 1
#define SLOT_SYNC 2
#define SLOT_LIMIT 96

struct plan_header {
	uint32_t magic;
	uint32_t format;
	uint32_t size; /* of the whole buffer; its last byte is NUL */
	uint32_t op_count;
	uint32_t ops_offset;
	uint32_t fd_base; /* inherited slot i is descriptor fd_base + i */
	uint32_t inherited;
	uint32_t keep_fds; /* descriptors below this stay open at execve */
};

struct op {
	uint16_t code;
	uint16_t reserved;
	uint32_t index;	   /* in the whole plan, host operations counted */
	uint64_t arg[7]; /* struct NAME_args: numbers, slots, or offsets of data from the start of the plan */
};

#define X(number, name) \
	_Static_assert(sizeof(struct name##_args) <= sizeof(((struct op *)0)->arg), #name " has too many arguments");
#define X0(number, name)
OCIRUN_OPS(X, X0)
#undef X
#undef X0

/* An argument of the kind "time" that is none. */
#define NO_TIME (1ull << 63)

/* A vector in the data part: count, then count offsets of NUL-terminated strings. */
struct plan_vector {
	uint32_t count;
	uint32_t offset[];
};

enum phase {
	PHASE_SETUP = 1,   /* operations before `ready` */
	PHASE_CREATED = 2, /* waiting for start */
	PHASE_STARTING = 3, /* start came; startContainer hooks */
	PHASE_RUNNING = 4, /* execve was called; reset to FAILED if it returns */
	PHASE_FAILED = 5,
	PHASE_DONE = 6, /* the plan is at its end, and had no `execute` */
};

/* What kind of failure `detail` describes. */
enum fault {
	FAULT_CALL = 0,	    /* a system call: call, error */
	FAULT_PLAN = 1,	    /* the plan cannot be decoded */
	FAULT_HOOK_EXIT = 2, /* detail = wait status of the hook */
	FAULT_HOOK_TIMEOUT = 3,
	FAULT_HOOK_EXEC = 4, /* error = errno of the hook's execve */
	FAULT_OPTION = 5,   /* detail = number of the file system option, from 0 */
	FAULT_LOCKED = 6,   /* detail = mount attributes that may not be cleared */
	FAULT_NODE_DIFFERS = 7, /* a file at a device path that is not that device */
	FAULT_NOT_IN_PATH = 8, /* program not found in any directory of PATH */
	FAULT_NOT_PLAIN = 9,	/* a symbolic link where a real directory must be */
	FAULT_NOT_DEVPTS = 10,	/* /dev/pts/ptmx is not a pseudo-terminal multiplexer */
	FAULT_OUTSIDE_ROOT = 11, /* the working directory is not below the root */
	FAULT_AMBIENT = 12,	/* detail = capability */
	FAULT_ON_PROC = 13,	/* a mount point that lies in procfs */
	FAULT_NOT_PROC = 14,	/* something else than procfs for /proc */
	FAULT_NOEXEC = 15,	/* the program is on a mount that forbids execution */
};

#define PROGRESS_OUTPUT 3840
#define PROGRESS_OBJECT 256

struct progress {
	uint32_t magic;
	uint32_t phase;
	uint32_t index; /* operation running now, number in the whole plan */
	uint32_t fault;
	int32_t error;
	uint32_t call;
	uint64_t detail;
	uint32_t warnings; /* bit set, see enum warning */
	uint32_t output_length;
	uint32_t stamp_count;
	uint16_t object_slot; /* of the failed call: its slot + 1, or 0; SLOT_LIMIT + 1 to 3: a standard stream */
	uint16_t object_length; /* of the text among its arguments */
	uint64_t warn_detail;
	char output[PROGRESS_OUTPUT]; /* last words of a hook or of the kernel's mount log */
	char object[PROGRESS_OBJECT];
	struct {
		uint32_t index;
		uint32_t reserved;
		uint64_t nanoseconds; /* CLOCK_MONOTONIC when the operation began */
	} stamp[];
};

enum warning {
	WARN_AMBIENT = 1, /* warn_detail = ambient capabilities that could not be raised */
	WARN_BOUNDING = 2,
};

/* What init says of the program: a message of its own on the same socket. */
enum init_report_kind {
	INIT_STARTED = 1, /* execve has succeeded */
	INIT_ENDED = 2,	  /* it, and all others in the container, have ended */
	INIT_LISTENER = 3, /* from the program's own process, before execve: with it comes the listener of its filter */
};

struct init_report {
	uint32_t index; /* of fork_program */
	uint32_t kind;
	int32_t status; /* as wait(2) gives it */
	uint32_t late;	/* its time was over */
	uint64_t nanoseconds; /* since it was forked, CLOCK_MONOTONIC */
	uint64_t resident;    /* bytes: the largest resident set of one process that was waited for */
};

/* To a container that was made ahead; with it come the program as a plan of one operation, and its streams. */
struct program_message {
	uint64_t lifetime; /* milliseconds; 0: no limit */
	uint32_t streams;  /* bits of those that come along; the others stay as they are */
	uint32_t reserved;
};

/* A message on the sync socket, both ways. */
struct sync_message {
	uint32_t index;
	uint32_t value;
};

#endif
