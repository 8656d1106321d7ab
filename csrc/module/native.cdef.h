/* What Python sees of the C module. */

/* libseccomp's: one condition of a rule (seccomp_rule_add(3)) */
struct scmp_arg_cmp {
	unsigned int arg;
	int op;
	uint64_t datum_a;
	uint64_t datum_b;
};

/* One output of a program. */
struct host_stream {
	char *kept;
	size_t size, room, limit;
	int cut;
	const char *fresh; /* with `streamed`: what came since the last turn, for the caller to take and to set to 0 */
	size_t fresh_size;
};

/* What a stream of a program is, if not a descriptor: what is made for it (input as a file, an output as a pipe). */
enum host_given {
	STREAM_MADE = -1,
	STREAM_MERGED = -2, /* error: where output goes */
	STREAM_NULL = -3,   /* /dev/null */
};

enum { KEEPER = 2 };

/* For which limit a program was ended. */
enum host_end {
	END_ITSELF = 0,
	END_TIME = 1,
	END_PROCESSOR = 2,
	END_OUTPUT = 3,
};

/* Calls of one number that the profile answers alike. */
struct asked_call {
	int number;
	uint32_t architecture, action; /* linux/audit.h; what the profile says, linux/seccomp.h */
	uint32_t arguments, programs;  /* how many of those below are set */
	int more;		       /* there were other arguments than those */
	uint64_t count;		       /* 0: nothing is here */
	uint64_t argument[8][6];
	char program[4][16];
};

/* A filter that asks, see csrc/host/asked.c.  The programs are those of seccomp(2); of size 0: all is allowed. */
struct asked {
	struct asked_call *call;
	uint32_t room, used;
	uint64_t dropped; /* calls for which there was no room */
	uint32_t mask;	  /* bits of the arguments by which calls of one number differ */
	const void *profile, *answers; /* what is noted, what is answered */
	size_t profile_size, answers_size;
	int listener, proc; /* descriptors, or -1 */
};

/* Why ocirun_host_run has come back; -errno is a failure, which is in the record. */
enum host_turn {
	HOST_DONE = 0,	       /* at the end */
	HOST_ASK = 1,	       /* the operation is the interpreter's; then go on behind it */
	HOST_READY = 2,	       /* created; with `go` it starts */
	HOST_INTERRUPTED = 3,  /* by a signal of the caller */
	HOST_SILENT = 4,       /* the helper has said nothing for `idle` milliseconds */
	HOST_ENDED = 5,	       /* the helper has closed its socket before its time */
	HOST_LATE = 6,	       /* a limit that is kept here is over (`late`): the program is the caller's to end */
	HOST_WAIT = 7,	       /* with `polled`: nothing is ready */
	HOST_SERVED = 8,       /* with `polled`: the program has ended */
	HOST_ROOT = 9,	       /* the state root is to be made, or to be complained of */
	HOST_OUTPUT = 10,      /* with `streamed`: there is output for the caller */
};

/* The host's side of a plan, see csrc/host/host.h.  Descriptors are -1 for none. */
struct host {
	const void *plan;
	size_t plan_size;
	void *record, *memory; /* struct progress; as much as ocirun_host_memory says, of any content */
	int begun;	       /* it holds something */
	uint32_t index;	       /* of the operation under way, in the whole plan */
	int *slot;	       /* descriptors by slot */
	int directory;	       /* of the state */
	int answer, message;   /* goes with the next answer, came with the last message */
	int upper;	       /* what the container writes instead of its root file system; stays until the end */
	int pid, pidfd, first; /* of the helper; first: pidfd of the first of two processes, until it is reaped */
	int adopted;
	uint32_t claim;	       /* what a staged helper has said to be its second process */
	int sync, progress;
	uint64_t start_time;
	/* for `spawn` */
	const void *init_plan;
	size_t init_size;
	uint32_t stamps;
	const char *names;     /* NULL: the record of its progress is memory, and no file */
	size_t names_size;
	const int *keep;
	int keep_count, inherited, start_in;
	unsigned int fd_base;
	int stdio[3];
	int idle;	       /* milliseconds, -1: wait for ever */
	int asked;	       /* the groups are the interpreter's to make */
	/* for a run */
	int go, polled, epoll;
	int has_init;	       /* the program is the child of an init of ours; KEEPER: of one in a container of others */
	const void *program;   /* of a container that was made ahead: a plan of one operation */
	size_t program_size;
	int64_t stream_uid;    /* whose its streams are, as the host numbers it; 0: as they are */
	uint64_t lifetime;     /* milliseconds, 0: no limit */
	const char *input;
	size_t input_size;
	int given[3];	       /* streams of the program: descriptors, or enum host_given */
	int streamed, kills;   /* the caller takes output as it comes; more of it than is kept ends the program */
	uint64_t processor_limit; /* nanoseconds of processor time, 0: no limit */
	int processors;
	struct host_stream output[2];
	struct asked *questions; /* or NULL */
	int status, late, allowed; /* late: enum host_end; allowed: the caller has ended it */
	uint64_t resident;     /* bytes: the largest resident set of one of its processes, 0: not known */
	int created, unread, left; /* what the end has found: groups whose usage was not read, things not removed */
	uint64_t nanoseconds;
	const char *usage;
	size_t usage_size;
};

/* All return -errno on failure. */
size_t ocirun_host_memory(void);
int ocirun_host_run(struct host *host);
int ocirun_host_undo(struct host *host);
void ocirun_host_commit(struct host *host);
int ocirun_host_allow(struct host *host, uint64_t milliseconds);
int ocirun_host_asked(struct host *host);
uint64_t ocirun_host_inode(const struct host *host, unsigned int number);
void ocirun_host_let_go(struct host *host);
void ocirun_host_free(struct host *host);
int ocirun_hear(int socket, uint32_t message[2], int *fd, int timeout_ms);
int ocirun_answer(int socket, uint32_t index, uint32_t value, int fd);
int ocirun_mount_setattr(int fd, unsigned int flags, uint64_t set, uint64_t propagation, int userns_fd);
int ocirun_netlink_socket(int namespace);
int ocirun_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int ocirun_rename_new(int olddir, const char *oldname, int newdir, const char *newname);
void ocirun_read_files(const char *paths, unsigned int count, char *buffer, size_t size, int64_t *lengths);
int64_t ocirun_fs_type(int fd);
int ocirun_set_subreaper(int on);
int ocirun_bpf(int command, void *attributes, unsigned int size);
int ocirun_inherited(int fd);
size_t ocirun_taken_size(void);
void ocirun_take_signals(int fd, uint64_t which, void *memory);
void ocirun_give_signals_back(const void *memory);
int ocirun_tmpfs(unsigned int attributes, const char *context);
int ocirun_enter_user_namespace(int fd);
int ocirun_umount(const char *path, int flags);
int ocirun_seccomp_flag(unsigned int flag);
int ocirun_knows_tree_namespace(void);
void *ocirun_symbol(const char *library, const char *name);
const char *ocirun_call_name(int nr);
