/* Look-ups below the root.  Every one goes through openat2 with
 * RESOLVE_IN_ROOT, so that neither "..", nor an absolute link, nor a rename
 * under our feet can lead outside, and with RESOLVE_NO_MAGICLINKS, so that
 * /proc/self/fd/N of an image cannot name one of our descriptors. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#define LINK_LIMIT 40	/* as the kernel's MAXSYMLINKS */
#define RETRY_LIMIT 128 /* openat2 says EAGAIN when a rename races with ".." */

static int open_below(struct executor *x, int root, const char *path, uint64_t flags, uint64_t mode,
		      uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	long r = -EAGAIN;

	for (int i = 0; i < RETRY_LIMIT && r == -EAGAIN; i++)
		r = SYS4(x, __NR_openat2, root, *path ? path : ".", &how, sizeof(how));
	return (int)r;
}

int path_open(struct executor *x, int root, const char *path, uint64_t flags, uint64_t mode)
{
	if (root < 0)
		return root;
	return open_below(x, root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static int is_kind(struct executor *x, int fd, unsigned kind)
{
	struct statx st;
	long r = SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st);

	return r < 0 ? (int)r : (st.stx_mode & S_IFMT) == kind;
}

/* Cut the last component off `done`, a path without links, dots or a leading slash. */
static void cut_last(char *done)
{
	size_t n = text_length(done);

	while (n > 0 && done[n - 1] != '/')
		n--;
	done[n ? n - 1 : 0] = 0;
}

static int append(char *done, const char *name, size_t n)
{
	size_t have = text_length(done);

	if (have + n + 2 > PATH_LIMIT)
		return -ENAMETOOLONG;
	if (have)
		done[have++] = '/';
	bytes_copy(done + have, name, n);
	done[have + n] = 0;
	return 0;
}

/* Put the text of link `fd` in front of `rest`. */
static int splice_link(struct executor *x, int fd, char *done, char *rest)
{
	size_t left = text_length(rest) + 1;
	long n = SYS4(x, __NR_readlinkat, fd, "", x->buffer, PATH_LIMIT - 1);

	if (n < 0)
		return (int)n;
	if (n == 0 || (size_t)n + 1 + left > PATH_LIMIT)
		return n == 0 ? -ENOENT : -ENAMETOOLONG;
	bytes_copy(rest + n + 1, rest, left);
	bytes_copy(rest, x->buffer, (size_t)n);
	rest[n] = '/';
	if (rest[0] == '/')
		done[0] = 0;
	else
		cut_last(done);
	return 0;
}

/* Make the one missing component `name` (n bytes) in the directory `done`. */
static int make_component(struct executor *x, int root, char *done, const char *name, size_t n, int directory)
{
	int parent = open_below(x, root, done, O_PATH | O_DIRECTORY, 0,
				RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
	long r;

	if (parent < 0)
		return parent;
	bytes_copy(x->buffer, name, n);
	x->buffer[n] = 0;
	if (directory)
		r = SYS3(x, __NR_mkdirat, parent, x->buffer, 0755);
	else
		r = SYS4(x, __NR_mknodat, parent, x->buffer, S_IFREG | 0644, 0);
	quiet_close(parent);
	return r == -EEXIST ? 0 : (int)r; /* someone else was quicker: look again */
}

/* Open `path` below `root`, making what is missing: directories 0755, and a
 * last component that is an empty file 0644 unless `directory`.  Links are
 * followed inside the root, dangling ones too.  The path is opened anew from
 * the root for each component, with no links allowed in the part already
 * resolved, so a component that changes under us gives an error, not a way out. */
static int walk(struct executor *x, int root, const char *path, int directory)
{
	char *done = x->scratch[0], *rest = x->scratch[1];
	int links = 0, tries = 0;

	if (text_length(path) + 1 > PATH_LIMIT)
		return -ENAMETOOLONG;
	bytes_copy(rest, path, text_length(path) + 1);
	done[0] = 0;
	for (;;) {
		size_t start = 0, n = 0, after;
		int fd, r;

		while (rest[start] == '/')
			start++;
		while (rest[start + n] && rest[start + n] != '/')
			n++;
		for (after = start + n; rest[after] == '/';)
			after++;
		if (n == 0)
			break;
		if (n == 1 && rest[start] == '.') {
			bytes_copy(rest, rest + after, text_length(rest + after) + 1);
			continue;
		}
		if (n == 2 && rest[start] == '.' && rest[start + 1] == '.') {
			cut_last(done);
			bytes_copy(rest, rest + after, text_length(rest + after) + 1);
			continue;
		}
		r = append(done, rest + start, n);
		if (r < 0)
			return r;
		fd = open_below(x, root, done, O_PATH | O_NOFOLLOW, 0,
				RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
		if (fd == -ENOENT) {
			if (++tries > RETRY_LIMIT + (int)(PATH_LIMIT / 2))
				return -EAGAIN;
			cut_last(done);
			r = make_component(x, root, done, rest + start, n, directory || rest[after]);
			if (r < 0)
				return r;
			continue; /* same component again */
		}
		if (fd < 0)
			return fd;
		bytes_copy(rest, rest + after, text_length(rest + after) + 1);
		r = is_kind(x, fd, S_IFLNK);
		if (r > 0)
			r = ++links > LINK_LIMIT ? -ELOOP : splice_link(x, fd, done, rest);
		quiet_close(fd);
		if (r < 0)
			return r;
	}
	return open_below(x, root, done, O_PATH, 0,
			  RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

int path_create(struct executor *x, int root, const char *path, int directory)
{
	int fd = path_open(x, root, path, O_PATH, 0);
	int r;

	x->created = fd == -ENOENT;
	if (fd == -ENOENT)
		fd = walk(x, root, path, directory);
	if (fd < 0)
		return fd;
	r = is_kind(x, fd, S_IFDIR);
	if (r < 0 || r != !!directory) {
		quiet_close(fd);
		return r < 0 ? r : -ENOTDIR;
	}
	return fd;
}

/* The directory that holds the last component of `path`; `name` is set to
 * that component, in x->program (free until the program is looked up). */
int path_parent(struct executor *x, int root, const char *path, int create, const char **name)
{
	size_t n = text_length(path), start;
	char *copy = x->program;

	if (root < 0)
		return root;
	if (n + 1 > PATH_LIMIT)
		return -ENAMETOOLONG;
	bytes_copy(copy, path, n + 1);
	while (n > 0 && copy[n - 1] == '/')
		copy[--n] = 0;
	for (start = n; start > 0 && copy[start - 1] != '/';)
		start--;
	*name = copy + start;
	if (!copy[start] || text_equal(*name, ".") || text_equal(*name, ".."))
		return -EINVAL;
	if (start == 0)
		return path_open(x, root, "", O_PATH | O_DIRECTORY, 0);
	copy[start - 1] = 0;
	return create ? path_create(x, root, copy, 1) : path_open(x, root, copy, O_PATH | O_DIRECTORY, 0);
}
