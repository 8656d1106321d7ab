/* The executor: runs the init operations of one plan, in order.
 *
 * It owns no memory but its own structure and one anonymous mapping for argv
 * and envp, makes no text, takes no decision, and stops at the first failure.
 * Everything it must say goes into the progress record as numbers. */
#ifndef OCIRUN_EXECUTOR_H
#define OCIRUN_EXECUTOR_H

#include "kernel.h"
#include "ops.h"

#include <linux/errno.h>

#define PATH_LIMIT 4096

struct executor {
	const struct plan_header *plan;
	struct progress *progress;
	uint32_t index;	      /* of the operation, in the whole plan */
	int slot[SLOT_LIMIT]; /* descriptor, or -1 */
	long last_call;	      /* number of the last system call, for the record */
	long last_arg[6];     /* its arguments; a text among them is in the plan or in this structure */
	uint32_t fault;
	uint64_t detail;
	int created;  /* the last open_path made what it opened */
	int null_attached; /* the host's /dev/null covers a masked file */
	int hook_log[2]; /* files for the standard output and error of hooks, or -1 */
	uint32_t home_slot; /* has the directory where hooks begin if its path cannot be reached; SLOT_LIMIT for none */
	int arrived;  /* the working directory has been entered */
	int guarded;   /* die with the runtime: armed again after a change of ids */
	const void *filter; /* seccomp filter that each execve from here on loads first, or NULL */
	uint64_t filter_size, filter_flags;
	uint64_t token; /* op_seccomp.c: the sixth argument of calls that the filter does not ask about; 0: none */
	uint64_t lifetime; /* of the program, in milliseconds; 0: no limit */
	int listener; /* op_seccomp.c: between two threads */
	int old_umask; /* the caller's, or -1 before `guard` */
	char **argv;
	char **envp;
	size_t envc;
	char program[PATH_LIMIT];
	char home[PATH_LIMIT];
	char scratch[2][PATH_LIMIT]; /* for path.c */
	char buffer[PATH_LIMIT];
	char stack[PATH_LIMIT] __attribute__((aligned(16))); /* of the second thread in op_seccomp.c */
};

/* executor.c */
int executor_init(struct executor *x, const void *plan, size_t size, struct progress *progress);
int executor_run(struct executor *x); /* 0 only if the plan has no `execute` */

/* decode.c: every access to the plan goes through these; 0/NULL and a sticky fault when out of bounds */
const char *plan_text(const struct executor *x, uint64_t offset);
const struct plan_vector *plan_vector(const struct executor *x, uint64_t offset);
const void *plan_bytes(const struct executor *x, uint64_t offset, uint64_t length);
int plan_check(const void *plan, size_t size);
int *slot_at(struct executor *x, uint64_t slot);
int slot_fd(struct executor *x, uint64_t slot);
int go_home(struct executor *x); /* op_mount.c: the working directory between operations */
int slot_set(struct executor *x, uint64_t slot, int fd);

/* text.c: the few string functions a program without libc needs */
size_t text_length(const char *s);
int text_equal(const char *a, const char *b);
int text_starts(const char *s, const char *prefix);
size_t text_number(char *out, uint64_t value, unsigned base);
void *bytes_copy(void *to, const void *from, size_t n);

/* progress.c */
void progress_begin(struct executor *x, uint32_t step);
void progress_fail(struct executor *x, int error);
void progress_call(struct executor *x);
int64_t time_now(struct executor *x);
void progress_output(struct executor *x, const char *bytes, size_t n);

/* op_ns.c: the messages at the barriers */
int sync_send(struct executor *x, int socket, const void *bytes, size_t n, int fd);
int sync_say(struct executor *x, int fd);
int sync_hear(struct executor *x, int *fd);

/* op_mount.c */
int configure(struct executor *x, int fs, const struct plan_vector *options);
void read_mount_log(struct executor *x, int fs);

/* op_seccomp.c */
int seccomp_before_exec(struct executor *x);

/* op_file.c: when `name` in `at`, a link itself, was changed; "": `at` */
int set_time(struct executor *x, int at, const char *name, int64_t seconds, int64_t nanoseconds);

/* path.c: all look-ups below the root, none of which can leave it */
int path_open(struct executor *x, int root, const char *path, uint64_t flags, uint64_t mode);
int path_create(struct executor *x, int root, const char *path, int directory);
int path_parent(struct executor *x, int root, const char *path, int create, const char **name);

/* Each call goes through here, so that a failure knows its system call and what that acted on. */
static inline long sys(struct executor *x, long nr, long a, long b, long c, long d, long e, long f)
{
	x->last_call = nr;
	x->last_arg[0] = a;
	x->last_arg[1] = b;
	x->last_arg[2] = c;
	x->last_arg[3] = d;
	x->last_arg[4] = e;
	x->last_arg[5] = f;
	return kernel_call(nr, a, b, c, d, e, f);
}

#ifndef SYS_FUNCTION
#define SYS_FUNCTION sys
#endif
#define SYS0(x, nr) SYS_FUNCTION(x, nr, 0, 0, 0, 0, 0, 0)
#define SYS1(x, nr, a) SYS_FUNCTION(x, nr, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(x, nr, a, b) SYS_FUNCTION(x, nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(x, nr, a, b, c) SYS_FUNCTION(x, nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(x, nr, a, b, c, d) SYS_FUNCTION(x, nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(x, nr, a, b, c, d, e) SYS_FUNCTION(x, nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS6(x, nr, a, b, c, d, e, f) \
	SYS_FUNCTION(x, nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Close without becoming "the last call". */
static inline void quiet_close(int fd)
{
	if (fd >= 0)
		kernel_call(__NR_close, fd, 0, 0, 0, 0, 0);
}

static inline int fault(struct executor *x, uint32_t kind, uint64_t detail, int error)
{
	x->fault = kind;
	x->detail = detail;
	return -error;
}

#define X(number, name) int op_##name(struct executor *x, const struct name##_args *a);
#define X0(number, name) int op_##name(struct executor *x);
OCIRUN_OPS(X, X0)
#undef X
#undef X0

/* struct pollfd */
struct poll_words {
	int fd;
	short events, revents;
};

/* siginfo_t of waitid(2), as the kernel has it. */
struct siginfo_words {
	int signo, error, code, pad;
	int pid, uid, status;
	int rest[25];
};

/* statfs is not in a header without libc; only the flags are read. */
struct statfs_words {
	long type, bsize;
	long blocks, bfree, bavail, files, ffree;
	long fsid;
	long namelen, frsize, flags, spare[4];
};

#endif
