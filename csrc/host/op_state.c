/* The state directory and what is in it; the host's procfs. */
#include "host.h"

#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>

#define LOCK_EXCLUSIVE 2
#define LOCK_NONBLOCKING 4
#define LOCK_OFF 8
#define PROC_ROOT_INODE 1
#ifndef S_IFIFO /* linux/stat.h leaves it out once glibc has been seen */
#define S_IFIFO 0010000
#endif

/* What a creation or a run puts into the directory. */
static const char *const files[] = { "start",  "progress", "state.json", "config.json",
				     "spare",  "caller",   "looked",	 "made",	".made" };

/* A root that is missing, closed to us or unsuitable is the interpreter's to make, or to complain of. */
int host_reserve_state(struct host_side *h, const struct reserve_state_args *a)
{
	struct executor *x = &h->x;
	const char *path = plan_text(x, a->directory);
	size_t n = path ? text_length(path) : 0;
	struct statx st;
	int root, r;

	if (!n || n >= PATH_LIMIT)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	bytes_copy(x->buffer, path, n + 1);
	while (n > 1 && x->buffer[n - 1] != '/')
		n--;
	x->buffer[n > 1 ? n - 1 : 1] = 0;
	root = (int)SYS4(x, __NR_openat, AT_FDCWD, x->buffer, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (root == -ENOENT || root == -EACCES || root == -EPERM)
		return HOST_ROOT;
	if (root < 0)
		return root;
	r = (int)SYS5(x, __NR_statx, root, "", AT_EMPTY_PATH, STATX_UID | STATX_MODE, &st);
	if (r == 0 && (st.stx_uid != (uint32_t)kernel_call(__NR_geteuid, 0, 0, 0, 0, 0, 0) || st.stx_mode & 022))
		r = HOST_ROOT;
	if (r == 0)
		r = (int)SYS3(x, __NR_mkdirat, root, path + n, 0711);
	if (r == 0)
		r = undo_push(h, UNDO_STATE, 0);
	if (r == 0) {
		h->directory = path;
		h->shown->directory = r =
			(int)SYS4(x, __NR_openat, root, path + n, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	}
	if (r >= 0 && h->directory) {
		r = (int)SYS2(x, __NR_fchmod, h->shown->directory, 0711);
		/* Until we are done `delete` must not take away what we make; whoever has the lock is looking. */
		if (r == 0)
			r = (int)SYS2(x, __NR_flock, h->shown->directory, LOCK_EXCLUSIVE | LOCK_NONBLOCKING);
		if (r == -EAGAIN)
			r = 0;
	}
	quiet_close(root);
	return r;
}

/* A whole file.  With `replace` it has its name only when it is complete. */
int host_save_file(struct host_side *h, const struct save_file_args *a)
{
	struct executor *x = &h->x;
	const char *name = plan_text(x, a->name), *bytes = plan_bytes(x, a->content, a->content_length), *first = name;
	size_t left = a->content_length, n = name ? text_length(name) : 0;
	long r;
	int fd;

	if (!bytes || !n || n + 2 > PATH_LIMIT)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	if (a->replace) {
		x->buffer[0] = '.';
		bytes_copy(x->buffer + 1, name, n + 1);
		first = x->buffer;
	}
	fd = (int)SYS4(x, __NR_openat, h->shown->directory, first, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0600);
	if (fd < 0)
		return fd;
	r = SYS2(x, __NR_fchmod, fd, 0600);
	while (r >= 0 && left) {
		r = SYS3(x, __NR_write, fd, bytes, left);
		if (r > 0) {
			bytes += r;
			left -= (size_t)r;
		}
	}
	quiet_close(fd);
	if (r >= 0 && a->replace)
		r = SYS4(x, __NR_renameat, h->shown->directory, first, h->shown->directory, name);
	if (r < 0)
		kernel_call(__NR_unlinkat, h->shown->directory, (long)first, 0, 0, 0, 0);
	return r < 0 ? (int)r : 0;
}

int state_link(struct host_side *h, const char *name, const char *text)
{
	return (int)SYS3(&h->x, __NR_symlinkat, text, h->shown->directory, name);
}

/* A symbolic link of which only the text counts: it is written in one step, and cannot be cut. */
int host_save_link(struct host_side *h, const struct save_link_args *a)
{
	const char *name = plan_text(&h->x, a->name), *text = plan_bytes(&h->x, a->text, a->text_length);

	if (!a->text_length) /* longer than such a text can be */
		return 0;
	return name && text ? state_link(h, name, text) : fault(&h->x, FAULT_PLAN, 0, EINVAL);
}

/* 0 if a descriptor is that of the root of a procfs. */
int procfs_prove(struct executor *x, int fd)
{
	struct statfs_words fs = { 0 };
	struct statx st;
	int r = (int)SYS2(x, __NR_fstatfs, fd, &fs);

	if (r == 0)
		r = (int)SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_INO, &st);
	if (r == 0 && (fs.type != PROC_SUPER_MAGIC || st.stx_ino != PROC_ROOT_INODE))
		r = fault(x, FAULT_NOT_PROC, 0, EINVAL);
	return r;
}

/* Proven to be one: the helper's only way to /proc. */
int host_open_procfs(struct host_side *h, const struct open_procfs_args *a)
{
	struct executor *x = &h->x;
	int fd = (int)SYS4(x, __NR_openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0), r;

	if (fd < 0)
		return fd;
	r = slot_set(x, a->slot, fd);
	return r < 0 ? r : procfs_prove(x, fd);
}

/* A pidfd of this process, ready when all its threads have ended. */
int host_open_caller(struct host_side *h, const struct open_caller_args *a)
{
	struct executor *x = &h->x;
	int fd = (int)SYS2(x, __NR_pidfd_open, kernel_call(__NR_getpid, 0, 0, 0, 0, 0, 0), 0);

	return fd < 0 ? fd : slot_set(x, a->slot, fd);
}

/* By a name of the caller's, as the log of a program: a fifo that nobody reads is refused and not waited for.  It stays
 * when the creation fails: what the hooks have said is in it. */
int host_open_hook_log(struct host_side *h, const struct open_hook_log_args *a)
{
	struct executor *x = &h->x;
	const char *path = plan_text(x, a->path);
	int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, fd, r;

	if (!path)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	fd = (int)SYS4(x, __NR_openat, AT_FDCWD, path, flags, 0600);
	if (fd < 0)
		return fd;
	r = slot_set(x, a->slot, fd);
	return r < 0 ? r : (int)SYS3(x, __NR_fcntl, fd, F_SETFL, O_APPEND);
}

/* Open for both directions: reading it waits, and never meets end-of-file. */
int host_make_start_fifo(struct host_side *h, const struct make_start_fifo_args *a)
{
	struct executor *x = &h->x;
	int r = (int)SYS4(x, __NR_mknodat, h->shown->directory, "start", S_IFIFO | 0600, 0);

	if (r == 0)
		r = (int)SYS4(x, __NR_openat, h->shown->directory, "start", O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	return r < 0 ? r : slot_set(x, a->slot, r);
}

/* Field 22 of /proc/PID/stat, in clock ticks; the name in field 2 may hold blanks and parentheses. */
static int start_time(struct host_side *h, uint64_t *ticks)
{
	struct executor *x = &h->x;
	char *c = x->buffer, *end;
	long n;
	int fd;

	bytes_copy(x->home, "/proc/", 6);
	bytes_copy(x->home + 6 + text_number(x->home + 6, (uint64_t)h->shown->pid, 10), "/stat", 6);
	fd = (int)SYS4(x, __NR_openat, AT_FDCWD, x->home, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	n = SYS3(x, __NR_read, fd, x->buffer, PATH_LIMIT - 1);
	quiet_close(fd);
	if (n < 0)
		return (int)n;
	end = x->buffer + n;
	/* What is behind the text may be anything. */
	for (c = end; c > x->buffer && c[-1] != ')'; c--)
		;
	for (int blanks = 0; c < end && blanks < 20; c++)
		blanks += *c == ' ';
	for (*ticks = 0; c < end && *c >= '0' && *c <= '9'; c++)
		*ticks = *ticks * 10 + (uint64_t)(*c - '0');
	return *ticks ? 0 : -ESRCH;
}

/* Process and groups, known only now: the text of a link beside the record,
 * "PID START INODE...".  Where the interpreter has made the groups it writes
 * the whole record. */
int host_record_state(struct host_side *h, const struct record_state_args *a)
{
	struct executor *x = &h->x;
	uint64_t ticks = 0;
	size_t n;
	int r;

	(void)a;
	if (h->shown->asked || h->shown->directory < 0 || !h->looked)
		return HOST_ASK;
	r = start_time(h, &ticks);
	if (r < 0)
		return r;
	n = text_number(x->buffer, (uint64_t)h->shown->pid, 10);
	x->buffer[n++] = ' ';
	n += text_number(x->buffer + n, ticks, 10);
	for (uint32_t i = 0; i < h->group_count; i++) {
		if (h->group[i].kind & GROUP_BELOW)
			continue;
		x->buffer[n++] = ' ';
		n += text_number(x->buffer + n, h->group[i].inode, 10);
	}
	h->shown->start_time = ticks;
	r = state_link(h, "made", x->buffer);
	if (r != -EEXIST)
		return r;
	/* Recorded before the hooks already; by two processes, if it was staged. */
	r = state_link(h, ".made", x->buffer);
	return r ? r : (int)SYS4(x, __NR_renameat, h->shown->directory, ".made", h->shown->directory, "made");
}

/* Others may look from now on, and `delete` may take it away. */
int host_unlock_state(struct host_side *h)
{
	kernel_call(__NR_flock, h->shown->directory, LOCK_OFF, 0, 0, 0, 0);
	return 0;
}

/* The directory, unless somebody else has it just now or has put something into it. */
int state_remove(struct host_side *h)
{
	struct statx st;
	long r;

	if (h->shown->directory < 0) { /* made, and not opened: it is empty */
		r = kernel_call(__NR_unlinkat, AT_FDCWD, (long)h->directory, AT_REMOVEDIR, 0, 0, 0);
		return r == -ENOENT ? 0 : (int)r;
	}
	r = kernel_call(__NR_flock, h->shown->directory, LOCK_EXCLUSIVE | LOCK_NONBLOCKING, 0, 0, 0, 0);

	if (r == 0)
		r = kernel_call(__NR_statx, h->shown->directory, (long)"", AT_EMPTY_PATH, STATX_NLINK, (long)&st, 0);
	if (r < 0)
		return (int)r;
	if (st.stx_nlink == 0)
		return 0;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		kernel_call(__NR_unlinkat, h->shown->directory, (long)files[i], 0, 0, 0, 0);
	return (int)kernel_call(__NR_unlinkat, AT_FDCWD, (long)h->directory, AT_REMOVEDIR, 0, 0, 0);
}
