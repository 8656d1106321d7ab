/* The calls of the fake kernel that deal with files. */
#include "record_calls.h"

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

/* After linux/stat.h: it leaves out the S_IF words once glibc has been seen. */
#include <string.h>

#define FIRST_FD 200
#define FD_LIMIT 4096
#define PROC_SUPER_MAGIC 0x9fa0
#define EVENT (long)sizeof(struct epoll_event)

struct file {
	int open;
	uint32_t mode, major, minor;
	int plain;	 /* no root of a mount */
	int64_t fstype;
	const void *data; /* unread bytes of a rule */
	size_t size;
};

static struct file files[FD_LIMIT];
static int next_fd, wrong;
static int64_t clock_now;
static struct {
	char name[256];
	uint32_t mode, major, minor;
} made; /* what mknodat made last */

static struct file *file_at(int64_t fd)
{
	return fd >= 0 && fd < FD_LIMIT && files[fd].open ? &files[fd] : NULL;
}

int record_refuses(const struct record_call *c, const char *kinds)
{
	for (int i = 0; i < 6 && kinds[i]; i++) {
		int64_t fd = (int)c->arg[i];

		if ((kinds[i] != 'd' && kinds[i] != 'f') || file_at(fd) || (kinds[i] == 'f' && fd == AT_FDCWD))
			continue;
		wrong++;
		return 1;
	}
	return 0;
}

long record_new(const struct record_call *c, const struct record_rule *r, uint32_t mode)
{
	struct file *f;

	(void)c;
	if (next_fd >= FD_LIMIT)
		return -EMFILE;
	f = &files[next_fd];
	memset(f, 0, sizeof(*f));
	f->open = 1;
	f->mode = mode;
	if (r) {
		f->mode = r->mode ? r->mode : mode;
		f->major = r->major;
		f->minor = r->minor;
		f->plain = r->plain;
		f->data = r->data;
		f->size = r->size;
	}
	return next_fd++;
}

static const char *text_of(const struct record_call *c, int i)
{
	return c->text[i] ? record_texts(NULL) + c->text[i] - 1 : "";
}

static long open_file(const struct record_call *c, const struct record_rule *r)
{
	const char *path = text_of(c, 1);
	long fd = record_new(c, r, S_IFDIR | 0755);

	if (fd < 0 || (r && r->mode))
		return fd;
	if (made.name[0] && strcmp(path, made.name) == 0) {
		files[fd].mode = made.mode;
		files[fd].major = made.major;
		files[fd].minor = made.minor;
	} else if (strcmp(path, "ptmx") == 0) {
		files[fd].mode = S_IFCHR | 0666;
		files[fd].major = 5;
		files[fd].minor = 2;
	} else if (strcmp(path, "/proc") == 0) {
		files[fd].fstype = PROC_SUPER_MAGIC;
	} else if (strcmp(path, "/etc/passwd") == 0) {
		files[fd].mode = S_IFREG | 0644;
	}
	return fd;
}

static long tell(const struct record_call *c, const struct record_rule *r)
{
	struct statx *st = (void *)c->arg[4];
	const struct file *f = *text_of(c, 1) ? NULL : file_at((int)c->arg[0]);

	memset(st, 0, sizeof(*st));
	st->stx_mode = S_IFREG | 0755;
	st->stx_mtime = (struct statx_timestamp){ .tv_sec = -7, .tv_nsec = 5 };
	st->stx_ino = r && r->inode ? r->inode : 1;
	st->stx_nlink = r && r->links ? r->links : 2;
	st->stx_dev_major = r ? r->major : 0;
	st->stx_dev_minor = r ? r->minor : 0;
	if (f) {
		st->stx_mode = (uint16_t)f->mode;
		st->stx_rdev_major = f->major;
		st->stx_rdev_minor = f->minor;
		st->stx_attributes = f->plain ? 0 : STATX_ATTR_MOUNT_ROOT;
	}
	if (r && r->mode) {
		st->stx_mode = (uint16_t)r->mode;
		st->stx_rdev_major = r->major;
		st->stx_rdev_minor = r->minor;
	}
	if (r && r->plain)
		st->stx_attributes = 0;
	st->stx_size = r && r->mode ? r->size : 0;
	if (record_chance(2))
		st->stx_mode = (uint16_t)((record_chance(16) << 12) | 0755);
	return 0;
}

/* Bytes of a rule: given by the call itself, or with the file when it was opened. */
static long give(const struct record_call *c, const struct record_rule *r, int buffer, size_t room)
{
	struct file *f = file_at((int)c->arg[0]);
	const void *data = r && r->data ? r->data : f ? f->data : NULL;
	size_t n = r && r->data ? r->size : f && f->data ? f->size : 0;

	if (n > room)
		n = room;
	if (n)
		memcpy((void *)c->arg[buffer], data, n);
	if (f && f->data && !(r && r->data)) {
		f->data = (const char *)f->data + n;
		f->size -= n;
	}
	return (long)n;
}

static long read_bytes(const struct record_call *c, const struct record_rule *r)
{
	if (c->arg[2] == 9) { /* wait_start: the word, and no time */
		*(char *)c->arg[1] = 's';
		return 1;
	}
	return give(c, r, 1, (size_t)c->arg[2]);
}

/* A link's text; names at random when answers are. */
static long read_link(const struct record_call *c, const struct record_rule *r)
{
	static const char *const words[] = { "/", "..", "a/../b", "/proc/self", "x//y/", "." };
	const char *word = words[record_chance(6)];

	if (record_chance(2) && strlen(word) <= (size_t)c->arg[3]) {
		memcpy((void *)c->arg[2], word, strlen(word));
		return (long)strlen(word);
	}
	return r && r->data ? give(c, r, 2, (size_t)c->arg[3]) : -EINVAL;
}

static long make_node(const struct record_call *c)
{
	strncpy(made.name, text_of(c, 1), sizeof(made.name) - 1);
	made.mode = (uint32_t)c->arg[2];
	made.major = (uint32_t)c->arg[3] >> 8 & 0xfff;
	made.minor = (uint32_t)(c->arg[3] & 0xff) | (uint32_t)(c->arg[3] >> 12 & 0xfff00);
	return 0;
}

static long open_file_system(const struct record_call *c, const struct record_rule *r)
{
	long fd = record_new(c, r, S_IFREG);

	if (fd >= 0)
		files[fd].fstype = strcmp(text_of(c, 0), "proc") == 0 ? PROC_SUPER_MAGIC : 0x01021994;
	return fd;
}

static long make_mount(const struct record_call *c, const struct record_rule *r)
{
	long fd = record_new(c, r, S_IFDIR | 0755);

	if (fd >= 0)
		files[fd].fstype = files[c->arg[0]].fstype;
	return fd;
}

static long statfs_of(const struct record_call *c, const struct record_rule *r)
{
	int64_t *words = (void *)c->arg[1]; /* struct statfs: type is the first word, flags the eleventh */

	words[0] = r && r->major ? r->major : files[c->arg[0]].fstype;
	words[10] = r ? r->minor : 0;
	return 0;
}

static long control_device(const struct record_call *c, const struct record_rule *r)
{
	long fd;

	if (c->arg[1] == 0x541B /* FIONREAD */)
		*(int *)c->arg[2] = r ? (int)r->mode : 0;
	if ((unsigned)c->arg[1] == 0xC0502100 /* SECCOMP_IOCTL_NOTIF_RECV */ && r && r->data)
		memcpy((void *)c->arg[2], r->data, r->size);
	if (c->arg[1] != 0x5441 /* TIOCGPTPEER */)
		return 0;
	fd = record_new(c, r, S_IFCHR | 0620);
	if (fd >= 0)
		files[fd].major = 136;
	return fd;
}

static long make_pipe(const struct record_call *c, int argument)
{
	int *ends = (void *)c->arg[argument];

	ends[0] = (int)record_new(c, NULL, S_IFIFO | 0600);
	ends[1] = (int)record_new(c, NULL, S_IFIFO | 0600);
	return ends[1] < 0 ? ends[1] : 0;
}

/* struct pollfd: descriptor, then two 16-bit words.  The first is ready, or those of the bits in a rule's mode. */
static long poll_some(const struct record_call *c, const struct record_rule *r)
{
	for (int i = 0; r && i < (int)c->arg[1]; i++)
		((short *)c->arg[0])[4 * i + 3] = r->mode >> i & 1;
	if (!r)
		((short *)c->arg[0])[3] = 1;
	if (!r && c->arg[1] > 1 && record_chance(2))
		((short *)c->arg[0])[7] = 1;
	return 1;
}

/* siginfo: code, pid, status are words 2, 4, 6; of a rule its mode, minor, major. */
static long end_of_child(const struct record_call *c, const struct record_rule *r)
{
	int *words = (void *)c->arg[2];

	words[2] = r && r->mode ? (int)r->mode : 1 /* CLD_EXITED */;
	words[4] = r ? (int)r->minor : 0;
	words[6] = r ? (int)r->major : (int)record_chance(3);
	return 0;
}

static long tell_time(const struct record_call *c)
{
	int64_t *now = (void *)c->arg[1];

	clock_now += 1000000 + (int64_t)record_chance(8) * 1000000000;
	now[0] = clock_now / 1000000000;
	now[1] = clock_now % 1000000000;
	return 0;
}

long record_behave(const struct record_call *c, const struct record_rule *r)
{
	switch (c->nr) {
	case __NR_openat: case __NR_openat2:
		return open_file(c, r);
	case __NR_open_tree: {
		const struct file *from = *text_of(c, 1) ? NULL : file_at((int)c->arg[0]);
		long fd = record_new(c, r, from ? from->mode : S_IFDIR | 0755);

		if (fd >= 0 && from)
			files[fd].fstype = from->fstype;
		return fd;
	}
	case __NR_fsopen: case __NR_fspick:
		return open_file_system(c, r);
	case __NR_fsmount:
		return make_mount(c, r);
	case __NR_memfd_create: case __NR_signalfd4: case __NR_socket: case __NR_epoll_create1: case __NR_timerfd_create:
	case __NR_pidfd_open:
		return record_new(c, r, S_IFREG | 0600);
	case __NR_seccomp:
		return c->arg[1] & 8 /* SECCOMP_FILTER_FLAG_NEW_LISTENER */ ? record_new(c, r, S_IFREG) : 0;
	case __NR_pipe2:
		return make_pipe(c, 0);
	case __NR_socketpair:
		return make_pipe(c, 3);
	case __NR_ioctl:
		return control_device(c, r);
	case __NR_fcntl:
		return c->arg[1] == 1030 /* F_DUPFD_CLOEXEC */ ? record_new(c, r, files[c->arg[0]].mode) : 0;
	case __NR_close:
		files[c->arg[0]].open = 0;
		return 0;
	case __NR_statx:
		return tell(c, r);
	case __NR_fstatfs:
		return statfs_of(c, r);
	case __NR_read:
		return read_bytes(c, r);
	case __NR_getdents64: case __NR_pread64: case __NR_recvfrom:
		return give(c, r, 1, (size_t)c->arg[2]);
	case __NR_epoll_pwait:
		return give(c, r, 1, (size_t)c->arg[2] * EVENT) / EVENT;
	case __NR_bpf:
		return c->arg[0] == 5 /* BPF_PROG_LOAD */ ? record_new(c, r, S_IFREG) : 0;
	case __NR_fgetxattr:
		return -ENODATA;
	case __NR_readlinkat:
		return read_link(c, r);
	case __NR_mknodat:
		return make_node(c);
	case __NR_write: case __NR_pwrite64: case __NR_sendto:
		return c->arg[2];
	case __NR_sendmsg:
		return 8;
	case __NR_sendfile:
		return c->arg[3];
	case __NR_getcwd:
		memcpy((void *)c->arg[0], "/", 2);
		return 2;
	case __NR_keyctl:
		return c->arg[0] == 1 /* KEYCTL_JOIN_SESSION_KEYRING */ ? 77 : 0;
	case __NR_getpid:
		return 42;
	case __NR_umask:
		return 022;
	case __NR_dup3:
		return c->arg[1];
	case __NR_ppoll:
		return poll_some(c, r);
	case __NR_waitid:
		return end_of_child(c, r);
	case __NR_clock_gettime:
		return tell_time(c);
	default:
		return 0;
	}
}

/* The standard streams are a terminal; then what the runtime gives. */
void record_files(uint32_t base, uint32_t inherited)
{
	memset(files, 0, sizeof(files));
	memset(&made, 0, sizeof(made));
	for (int fd = 0; fd < 3; fd++)
		files[fd] = (struct file){ .open = 1, .mode = S_IFCHR | 0620, .major = 136 };
	for (uint32_t i = 0; i < inherited && base + i < FIRST_FD; i++)
		files[base + i] = (struct file){ .open = 1, .mode = S_IFREG | 0600 };
	next_fd = FIRST_FD;
	wrong = 0;
	clock_now = 0;
}

void record_child(int begins)
{
	static struct file kept[FD_LIMIT];
	static int kept_wrong;

	memcpy(begins ? kept : files, begins ? files : kept, sizeof(files));
	if (begins)
		kept_wrong = wrong;
	else
		wrong = kept_wrong;
}

int record_is_open(int fd)
{
	return file_at(fd) != NULL;
}

int record_next_descriptor(void)
{
	return next_fd;
}

int record_wrong_descriptors(void)
{
	return wrong;
}
