/* What Python sees of the C module. */

struct spawn_request {
	int helper_fd;       /* sealed memfd with the helper */
	uint64_t flags;      /* CLONE_NEW* */
	int cgroup_fd;       /* directory for CLONE_INTO_CGROUP, or -1 */
	const int *inherit;  /* descriptors for the slots, in slot order */
	int inherit_count;
	const int *keep;     /* descriptors from 3 up that the program keeps */
	int keep_count;
	int fd_base;         /* first slot's number in the child */
	int stdio[3];        /* descriptors that become 0, 1, 2; -1: the caller's own */
	int pidfd;           /* out */
	int call;            /* out: number of the failed system call in the child */
};

/* libseccomp's: one condition of a rule (seccomp_rule_add(3)) */
struct scmp_arg_cmp {
	unsigned int arg;
	int op;
	uint64_t datum_a;
	uint64_t datum_b;
};

/* All return -errno on failure. */
int ocirun_spawn(struct spawn_request *request);
int ocirun_helper_fd(void);
int ocirun_sealed_fd(const char *name, const void *bytes, size_t size);
int ocirun_socketpair(int ends[2]);
int ocirun_hear(int socket, uint32_t message[2], int *fd, int timeout_ms);
int ocirun_answer(int socket, uint32_t index, uint32_t value, int fd);
int ocirun_open_tree(int dirfd, const char *path, unsigned int flags);
int ocirun_mount_setattr(int fd, unsigned int flags, uint64_t set, uint64_t propagation, int userns_fd);
int ocirun_netlink_socket(int namespace);
int ocirun_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int64_t ocirun_fs_type(int fd);
int ocirun_prlimit(int pid, int resource, uint64_t soft, uint64_t hard);
int ocirun_set_subreaper(int on);
int ocirun_bpf(int command, void *attributes, unsigned int size);
int ocirun_inherited(int fd);
int ocirun_tmpfs(unsigned int attributes, const char *context);
int ocirun_umount(const char *path, int flags);
int ocirun_seccomp_flag(unsigned int flag);
void *ocirun_symbol(const char *library, const char *name);
const char *ocirun_call_name(int nr);
size_t ocirun_helper_size(void);
