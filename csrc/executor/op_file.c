/* Files put into the root, and taken out of it: whole ones, looked up below it. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/stat.h>

#define CHUNK (1 << 20)
#define TRIES 8
#define BILLION 1000000000
#define UTIME_OMIT 0x3ffffffe

/* A name that nobody has chosen before. */
static void temporary_name(struct executor *x)
{
	static const char begin[] = ".ocirun.";

	bytes_copy(x->buffer, begin, sizeof(begin) - 1);
	text_number(x->buffer + sizeof(begin) - 1, (uint64_t)time_now(x), 10);
}

static int fill(struct executor *x, int fd, const char *bytes, uint64_t left)
{
	while (left) {
		long n = SYS3(x, __NR_write, fd, bytes, left < CHUNK ? left : CHUNK);

		if (n <= 0)
			return n ? (int)n : -EIO;
		bytes += n;
		left -= (uint64_t)n;
	}
	return 0;
}

int set_time(struct executor *x, int at, const char *name, int64_t seconds, int64_t nanoseconds)
{
	int64_t times[4] = { 0, UTIME_OMIT, seconds, nanoseconds };

	return (int)SYS4(x, __NR_utimensat, at, name, times, *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH);
}

/* As an operation has it.  What is new is ours until it is given to its owner, so that this takes no right. */
static int give_time(struct executor *x, int at, const char *name, uint64_t time)
{
	int64_t seconds = (int64_t)time / BILLION, nanoseconds = (int64_t)time % BILLION;

	if (time == NO_TIME)
		return 0;
	if (nanoseconds < 0)
		return set_time(x, at, name, seconds - 1, nanoseconds + BILLION);
	return set_time(x, at, name, seconds, nanoseconds);
}

/* Under another name first, so that the file is there whole or not at all,
 * and what has had its name, a link too, is replaced and not written to. */
int op_put_file(struct executor *x, const struct put_file_args *a)
{
	const char *path = plan_text(x, a->path), *bytes = plan_bytes(x, a->content, a->content_length), *name;
	int parent, fd = -EEXIST, r;

	if (!path || (a->content_length && !bytes))
		return fault(x, FAULT_PLAN, 1, EINVAL);
	parent = path_parent(x, slot_fd(x, a->root), path, 1, &name);
	if (parent < 0)
		return parent;
	for (int i = 0; i < TRIES && fd == -EEXIST; i++) {
		temporary_name(x);
		fd = (int)SYS4(x, __NR_openat, parent, x->buffer, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	r = fd;
	if (r >= 0)
		r = fill(x, fd, bytes, a->content_length);
	if (r >= 0)
		r = give_time(x, fd, "", a->time);
	if (r >= 0)
		r = (int)SYS3(x, __NR_fchown, fd, a->owner >> 32, a->owner & 0xffffffff);
	if (r >= 0)
		r = (int)SYS2(x, __NR_fchmod, fd, a->mode);
	if (r >= 0)
		r = (int)SYS4(x, __NR_renameat, parent, x->buffer, parent, name);
	if (r < 0 && fd >= 0)
		kernel_call(__NR_unlinkat, parent, (long)x->buffer, 0, 0, 0, 0);
	quiet_close(fd);
	quiet_close(parent);
	return r < 0 ? r : 0;
}

/* A directory; one that is there already, or a link to one, stays as it is. */
int op_put_directory(struct executor *x, const struct put_directory_args *a)
{
	const char *path = plan_text(x, a->path), *name;
	int root = slot_fd(x, a->root), parent, fd = -1, r;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	parent = path_parent(x, root, path, 1, &name);
	if (parent < 0)
		return parent;
	r = (int)SYS3(x, __NR_mkdirat, parent, name, 0700);
	if (r == -EEXIST) {
		r = fd = path_open(x, root, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	} else if (r == 0) {
		r = fd = (int)SYS4(x, __NR_openat, parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
		if (r >= 0)
			r = give_time(x, fd, "", a->time);
		if (r >= 0)
			r = (int)SYS3(x, __NR_fchown, fd, a->owner >> 32, a->owner & 0xffffffff);
		if (r >= 0)
			r = (int)SYS2(x, __NR_fchmod, fd, a->mode);
	}
	quiet_close(fd);
	quiet_close(parent);
	return r < 0 ? r : 0;
}

/* A symbolic link in place of what has its name, but of no directory. */
int op_put_link(struct executor *x, const struct put_link_args *a)
{
	const char *path = plan_text(x, a->path), *text = plan_text(x, a->text), *name;
	int parent, made = -EEXIST, r;

	if (!path || !text)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	parent = path_parent(x, slot_fd(x, a->root), path, 1, &name);
	if (parent < 0)
		return parent;
	for (int i = 0; i < TRIES && made == -EEXIST; i++) {
		temporary_name(x);
		made = (int)SYS3(x, __NR_symlinkat, text, parent, x->buffer);
	}
	r = made;
	if (r >= 0)
		r = give_time(x, parent, x->buffer, a->time);
	if (r >= 0)
		r = (int)SYS5(x, __NR_fchownat, parent, x->buffer, a->owner >> 32, a->owner & 0xffffffff,
			      AT_SYMLINK_NOFOLLOW);
	if (r >= 0)
		r = (int)SYS4(x, __NR_renameat, parent, x->buffer, parent, name);
	if (r < 0 && made >= 0)
		kernel_call(__NR_unlinkat, parent, (long)x->buffer, 0, 0, 0, 0);
	quiet_close(parent);
	return r < 0 ? r : 0;
}

/* Of a directory into which things were put, each of which has changed it. */
int op_set_time(struct executor *x, const struct set_time_args *a)
{
	const char *path = plan_text(x, a->path);
	int fd, r;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	fd = r = path_open(x, slot_fd(x, a->root), path, O_PATH | O_DIRECTORY, 0);
	if (r >= 0)
		r = give_time(x, fd, "", a->time);
	quiet_close(fd);
	return r < 0 ? r : 0;
}

/* At most one byte more than `limit`, by which it is seen that there are more. */
static int copy(struct executor *x, int from, int to, uint64_t limit)
{
	uint64_t left = limit + 1;

	while (left) {
		long n = SYS4(x, __NR_sendfile, to, from, 0, left < CHUNK ? left : CHUNK);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		left -= (uint64_t)n;
	}
	return 0;
}

/* A copy in memory of a file.  It is opened when it is known to be one: opening
 * a fifo waits, and a device may do something.  It may be on a file system of
 * the container's own making, for whose answers we wait, and not the runtime. */
int op_get_file(struct executor *x, const struct get_file_args *a)
{
	const char *path = plan_text(x, a->path);
	int proc = slot_fd(x, a->proc), at, from = -1, to = -1, r;
	struct statx st;

	if (!path || proc < 0)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	at = r = path_open(x, slot_fd(x, a->root), path, O_PATH, 0);
	if (r >= 0)
		r = (int)SYS5(x, __NR_statx, at, "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r >= 0 && (st.stx_mode & S_IFMT) != S_IFREG)
		r = (st.stx_mode & S_IFMT) == S_IFDIR ? -EISDIR : -EINVAL;
	if (r >= 0) {
		bytes_copy(x->buffer, "self/fd/", 8);
		text_number(x->buffer + 8, (uint64_t)at, 10);
		from = r = (int)SYS4(x, __NR_openat, proc, x->buffer, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	}
	if (r >= 0)
		to = r = (int)SYS2(x, __NR_memfd_create, "file", 1 /* MFD_CLOEXEC */);
	if (r >= 0)
		r = copy(x, from, to, a->limit);
	quiet_close(at);
	quiet_close(from);
	if (r < 0)
		quiet_close(to);
	return r < 0 ? r : slot_set(x, a->slot, to);
}
