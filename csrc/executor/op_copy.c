/* tmpcopyup: the tree that a new tmpfs is going to cover, copied into it. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#define DEPTH_LIMIT 64	/* two descriptors a level, no recursion */
#define CHUNK 65536

struct dirent_words {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

struct level {
	int from, to;
	size_t have, at;
	char entries[1024];
};

/* Not on the stack: the helper's is one page or two. */
static struct level levels[DEPTH_LIMIT];

static int keep_time(struct executor *x, int to, const char *name, const struct statx *st)
{
	return set_time(x, to, name, st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec);
}

/* Of a link or a node.  The time first, as long as it is ours. */
static int keep_attributes(struct executor *x, int to, const char *name, const struct statx *st)
{
	int r = keep_time(x, to, name, st);

	return r < 0 ? r : (int)SYS5(x, __NR_fchownat, to, name, st->stx_uid, st->stx_gid, AT_SYMLINK_NOFOLLOW);
}

/* The new file is opened by us, exclusively, so its mode can be set by descriptor. */
static int copy_file(struct executor *x, int from, int to, const char *name, const struct statx *st)
{
	int in, out, r = 0;
	uint64_t left = st->stx_size;

	in = (int)SYS4(x, __NR_openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (in < 0)
		return in;
	out = (int)SYS4(x, __NR_openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0) {
		quiet_close(in);
		return out;
	}
	while (left > 0 && r >= 0) {
		long n = SYS4(x, __NR_sendfile, out, in, 0, left < CHUNK ? left : CHUNK);

		if (n < 0)
			r = (int)n;
		if (n <= 0)
			break;
		left -= (uint64_t)n;
	}
	if (r >= 0)
		r = keep_time(x, out, "", st);
	if (r >= 0)
		r = (int)SYS3(x, __NR_fchown, out, st->stx_uid, st->stx_gid);
	if (r >= 0)
		r = (int)SYS2(x, __NR_fchmod, out, st->stx_mode & 07777);
	quiet_close(in);
	quiet_close(out);
	return r;
}

static int copy_entry(struct executor *x, int depth, const char *name)
{
	struct level *l = &levels[depth];
	struct statx st;
	unsigned kind;
	long r = SYS5(x, __NR_statx, l->from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);

	if (r < 0)
		return (int)r;
	kind = st.stx_mode & S_IFMT;
	if (kind == S_IFREG)
		return copy_file(x, l->from, l->to, name, &st);
	if (kind == S_IFLNK) {
		r = SYS4(x, __NR_readlinkat, l->from, name, x->buffer, PATH_LIMIT - 1);
		if (r < 0)
			return (int)r;
		x->buffer[r] = 0;
		r = SYS3(x, __NR_symlinkat, x->buffer, l->to, name);
		return r < 0 ? (int)r : keep_attributes(x, l->to, name, &st);
	}
	if (kind == S_IFDIR) {
		struct level *next = &levels[depth + 1];

		if (depth + 1 >= DEPTH_LIMIT)
			return -ELOOP;
		r = SYS3(x, __NR_mkdirat, l->to, name, 0700);
		if (r < 0)
			return (int)r;
		next->from = (int)SYS3(x, __NR_openat, l->from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next->from < 0)
			return next->from;
		next->to = (int)SYS3(x, __NR_openat, l->to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next->to < 0) {
			quiet_close(next->from);
			return next->to;
		}
		r = SYS3(x, __NR_fchown, next->to, st.stx_uid, st.stx_gid);
		if (r >= 0)
			r = SYS2(x, __NR_fchmod, next->to, st.stx_mode & 07777);
		if (r < 0) {
			quiet_close(next->from);
			quiet_close(next->to);
			return (int)r;
		}
		next->have = next->at = 0;
		return 1; /* go down */
	}
	if (kind == S_IFSOCK)
		return 0; /* a socket without its server is of no use in the copy */
	r = SYS4(x, __NR_mknodat, l->to, name, st.stx_mode,
		 (st.stx_rdev_minor & 0xff) | (st.stx_rdev_major << 8) | ((uint64_t)(st.stx_rdev_minor & ~0xffu) << 12));
	return r < 0 ? (int)r : keep_attributes(x, l->to, name, &st);
}

static void leave(const struct level *l)
{
	quiet_close(l->from);
	quiet_close(l->to);
}

/* What is put into a directory changes its time, so that this is the last thing done to it. */
static int keep_time_of_directory(struct executor *x, const struct level *l)
{
	struct statx st;
	int r = (int)SYS5(x, __NR_statx, l->from, "", AT_EMPTY_PATH, STATX_MTIME, &st);

	return r < 0 ? r : keep_time(x, l->to, "", &st);
}

static int copy_tree(struct executor *x)
{
	int depth = 0, r = 0;

	while (depth >= 0 && r >= 0) {
		struct level *l = &levels[depth];
		const struct dirent_words *e;

		if (l->at >= l->have) {
			r = (int)SYS3(x, __NR_getdents64, l->from, l->entries, sizeof(l->entries));
			l->have = r > 0 ? (size_t)r : 0;
			l->at = 0;
			if (r == 0) {
				if (depth > 0)
					r = keep_time_of_directory(x, l);
				leave(l);
				depth--;
			}
			continue;
		}
		e = (const void *)(l->entries + l->at);
		l->at += e->reclen;
		if (text_equal(e->name, ".") || text_equal(e->name, ".."))
			continue;
		r = copy_entry(x, depth, e->name);
		if (r > 0)
			depth++;
	}
	for (; depth >= 0; depth--)
		leave(&levels[depth]);
	return r < 0 ? r : 0;
}

/* `slot` is the detached tmpfs, `source` the directory it will cover. */
int op_copy_up(struct executor *x, const struct copy_up_args *a)
{
	int to = slot_fd(x, a->slot), from = slot_fd(x, a->source);
	struct level *l = &levels[0];

	if (to < 0 || from < 0)
		return to < 0 ? to : from;
	l->have = l->at = 0;
	l->from = (int)SYS3(x, __NR_openat, from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->from < 0)
		return l->from;
	l->to = (int)SYS3(x, __NR_openat, to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->to < 0) {
		quiet_close(l->from);
		return l->to;
	}
	return copy_tree(x);
}
