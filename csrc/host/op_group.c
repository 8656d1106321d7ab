/* The container's cgroups: directories, and files in them.
 *
 * The plain case only: no group of that path is there, the one above is, and
 * nothing forbids to join.  All else is the interpreter's to decide on (asked),
 * which then makes all of them. */
#include "host.h"

#include <linux/fcntl.h>
#include <linux/stat.h>

/* Room for a file of a group that is read whole. */
#define FILE_LIMIT 4096
#define MARK "trusted.ocirun"

static struct group *group_of(struct host_side *h, uint64_t name)
{
	for (uint32_t i = 0; i < h->group_count; i++)
		if (h->group[i].name == name)
			return &h->group[i];
	return NULL;
}

/* The last name of a path. */
static const char *last(const char *path)
{
	const char *name = path;

	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

/* A file of a directory into x->buffer, as a text without its newline; its length. */
static long read_file(struct executor *x, int directory, const char *file)
{
	int fd = (int)SYS4(x, __NR_openat, directory, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return fd;
	n = SYS3(x, __NR_read, fd, x->buffer, FILE_LIMIT - 1);
	quiet_close(fd);
	if (n > 0 && x->buffer[n - 1] == '\n')
		n--;
	if (n >= 0)
		x->buffer[n] = 0;
	return n;
}

/* Whether `word` is a line of the text. */
static int has_line(const char *text, const char *line)
{
	while (*text) {
		if (text_starts(text, line) && (!text[text_length(line)] || text[text_length(line)] == '\n'))
			return 1;
		while (*text && *text++ != '\n')
			;
	}
	return 0;
}

/* 1 where a process may join below this directory, 0 where that takes a closer look. */
static int is_plain(struct host_side *h, const struct group *g)
{
	struct executor *x = &h->x;
	long n = 0;

	if (g->kind & GROUP_FREEZER) {
		n = read_file(x, g->parent, "freezer.state"); /* the root has none */
		if (n >= 0 && !text_equal(x->buffer, "THAWED"))
			return 0;
	}
	if (g->kind & GROUP_UNIFIED) {
		n = read_file(x, g->parent, "cgroup.events");
		if (n >= 0 && has_line(x->buffer, "frozen 1"))
			return 0;
		if (n >= 0 || n == -ENOENT)
			n = read_file(x, g->parent, "cgroup.type");
		if (n >= 0 && !text_equal(x->buffer, "domain"))
			return 0;
	}
	if (n < 0 && n != -ENOENT)
		return (int)n;
	if (g->kind & GROUP_CPUSET) {
		n = read_file(x, g->parent, "cpuset.cpus");
		if (n > 0)
			n = read_file(x, g->parent, "cpuset.mems");
		if (n <= 0)
			return (int)n;
	}
	return 1;
}

/* Look, change nothing. */
int host_look_at_cgroup(struct host_side *h, const struct look_at_cgroup_args *a)
{
	struct executor *x = &h->x;
	const char *path = plan_text(x, a->path);
	struct group *g = &h->group[h->group_count];
	struct statx st;
	size_t n;
	int r;

	if (!path || h->group_count == GROUP_LIMIT)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	if (h->shown->asked)
		return 0;
	h->shown->asked = 1;
	*g = (struct group){ .name = a->controller, .path = path, .kind = (uint32_t)a->kind, .directory = -1 };
	n = (size_t)(last(path) - path);
	if (n < 2 || n >= PATH_LIMIT)
		return 0;
	bytes_copy(x->buffer, path, n - 1);
	x->buffer[n - 1] = 0;
	g->parent = r = (int)SYS4(x, __NR_openat, AT_FDCWD, x->buffer, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	h->group_count++;
	r = (int)SYS5(x, __NR_statx, g->parent, "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r < 0)
		return r;
	if (((uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor) != a->device)
		return 0;
	r = (int)SYS4(x, __NR_faccessat2, g->parent, last(path), 0, AT_SYMLINK_NOFOLLOW);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT)
		r = is_plain(h, g);
	else
		r = 0;
	if (r > 0)
		h->shown->asked = 0;
	return r < 0 ? r : 0;
}

/* A new group takes what the one above has: without processors and memory nodes no process can join. */
static int fill_cpuset(struct executor *x, const struct group *g)
{
	static const char *const file[] = { "cpuset.cpus", "cpuset.mems" };

	for (int i = 0; i < 2; i++) {
		long r = read_file(x, g->directory, file[i]);

		if (r == 0)
			r = read_file(x, g->parent, file[i]);
		else if (r > 0)
			continue; /* it was cloned from there already */
		if (r >= 0)
			r = group_write(x, g->directory, file[i], x->buffer);
		if (r < 0)
			return (int)r;
	}
	return 0;
}

/* Somebody was quicker: leave nothing of ours, and let the interpreter look at all of them again. */
static int ask(struct host_side *h)
{
	uint32_t kept = 0;

	h->shown->asked = 1;
	for (uint32_t i = 0; i < h->undo_count; i++) {
		if (h->undo[i].kind == UNDO_GROUP)
			group_remove(h, &h->group[h->undo[i].number]);
		else
			h->undo[kept++] = h->undo[i];
	}
	h->undo_count = kept;
	groups_close(h);
	if (h->looked)
		kernel_call(__NR_unlinkat, h->shown->directory, (long)"looked", 0, 0, 0, 0);
	h->looked = 0;
	return HOST_ASK;
}

int host_make_cgroup(struct host_side *h, const struct make_cgroup_args *a)
{
	struct executor *x = &h->x;
	struct group *g = group_of(h, a->controller);
	struct statx st;
	int r;

	if (!g || h->shown->asked)
		return ask(h);
	if (!h->looked && h->shown->directory >= 0) {
		/* Whoever finds the record of a creation that was killed must know that all of them are ours. */
		r = state_link(h, "looked", "none");
		if (r < 0)
			return r;
		h->looked = 1;
	}
	r = (int)SYS3(x, __NR_mkdirat, g->parent, last(g->path), 0755);
	if (r == -EEXIST || r == -ENOENT || r == -ENODEV)
		return ask(h);
	if (r < 0)
		return r;
	r = undo_push(h, UNDO_GROUP, (uint32_t)(g - h->group));
	if (r < 0)
		return r;
	g->directory = r = (int)SYS4(x, __NR_openat, g->parent, last(g->path),
				     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (r < 0)
		return r;
	r = (int)SYS5(x, __NR_statx, g->directory, "", AT_EMPTY_PATH, STATX_INO | STATX_MODE, &st);
	if (r < 0)
		return r;
	g->inode = st.stx_ino;
	/* The caller's umask, which belongs to the whole process and is not ours to change. */
	if ((st.stx_mode & 0777) != 0755)
		r = (int)SYS2(x, __NR_fchmod, g->directory, 0755);
	if (r == 0 && g->kind & GROUP_CPUSET)
		r = fill_cpuset(x, g);
	let_go(&g->parent);
	return r;
}

/* What is left of a path below the container's group of v2, NULL where that was not made here. */
static const char *below(struct host_side *h, const char *path, struct group **found)
{
	for (uint32_t i = 0; i < h->group_count; i++) {
		struct group *g = &h->group[i];
		const char *rest = path + text_length(g->path);

		if (!(g->kind & GROUP_UNIFIED) || g->directory < 0 || !text_starts(path, g->path))
			continue;
		if (*rest && *rest != '/')
			continue;
		*found = g;
		return *rest ? rest + 1 : rest;
	}
	return NULL;
}

/* Another group in it: gone before that one is. */
int host_make_subgroup(struct host_side *h, const struct make_subgroup_args *a)
{
	struct executor *x = &h->x;
	const char *path = plan_text(x, a->path), *name;
	struct group *top, *g = &h->group[h->group_count];
	struct statx st;
	int r;

	if (!path || h->group_count == GROUP_LIMIT)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	name = below(h, path, &top);
	if (!name)
		return HOST_ASK;
	*g = (struct group){ .name = a->path, .path = path, .kind = GROUP_BELOW, .parent = -1, .directory = -1 };
	r = (int)SYS3(x, __NR_mkdirat, top->directory, name, 0755);
	if (r < 0)
		return r;
	h->group_count++;
	r = undo_push(h, UNDO_GROUP, h->group_count - 1);
	if (r < 0)
		return r;
	g->directory = r = (int)SYS4(x, __NR_openat, top->directory, name,
				     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (r >= 0)
		r = (int)SYS5(x, __NR_statx, g->directory, "", AT_EMPTY_PATH, STATX_INO | STATX_MODE, &st);
	if (r < 0)
		return r;
	g->inode = st.stx_ino;
	return (st.stx_mode & 0777) == 0755 ? 0 : (int)SYS2(x, __NR_fchmod, g->directory, 0755);
}

/* The file of a group to which a thread writes "0" to join. */
int host_open_cgroup(struct host_side *h, const struct open_cgroup_args *a)
{
	struct executor *x = &h->x;
	struct group *g = group_of(h, a->controller);
	int fd;

	if (!g || g->directory < 0)
		return HOST_ASK;
	fd = (int)SYS4(x, __NR_openat, g->directory, g->kind & GROUP_UNIFIED ? "cgroup.procs" : "tasks",
		       O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	return fd < 0 ? fd : slot_set(x, a->slot, fd);
}

int host_start_in_cgroup(struct host_side *h, const struct start_in_cgroup_args *a)
{
	struct executor *x = &h->x;
	const char *path = plan_text(x, a->path), *name;
	struct group *g;

	if (!path)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	name = below(h, path, &g);
	if (!name)
		return HOST_ASK;
	if (*name)
		h->start_in = (int)SYS4(x, __NR_openat, g->directory, name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	else
		h->start_in = (int)SYS3(x, __NR_fcntl, g->directory, F_DUPFD_CLOEXEC, 0);
	return h->start_in < 0 ? h->start_in : 0;
}

/* The rest, removal and all, is the interpreter's. */
static int unread(struct host_side *h)
{
	h->shown->unread = 1;
	h->shown->usage_size = 0;
	h->step = h->x.plan->op_count - 1;
	return 0;
}

/* What the groups have used: each file behind its length, two bytes; 0xffff: the kernel has none. */
int host_read_usage(struct host_side *h, const struct read_usage_args *a)
{
	struct executor *x = &h->x;
	const struct plan_vector *v = plan_vector(x, a->files);
	size_t used = 0;

	if (!v)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	for (uint32_t i = 0; i + 1 < v->count; i += 2) {
		struct group *g = NULL;
		struct statx st;
		long n;

		for (uint32_t k = 0; k < h->group_count; k++)
			if (text_equal(h->group[k].path, plan_text(x, v->offset[i])))
				g = &h->group[k];
		if (!g || g->directory < 0 || used + 2 + FILE_LIMIT > sizeof(h->usage))
			return unread(h);
		/* Groups below have figures of their own, which only a walk finds; directories count as links. */
		n = SYS5(x, __NR_statx, g->directory, "", AT_EMPTY_PATH, STATX_NLINK, &st);
		if (n < 0 || st.stx_nlink > 2)
			return unread(h);
		n = read_file(x, g->directory, plan_text(x, v->offset[i + 1]));
		if (n < 0 && n != -ENOENT && n != -EOPNOTSUPP)
			return unread(h);
		h->usage[used++] = (char)(n < 0 ? 0xff : n & 0xff);
		h->usage[used++] = (char)(n < 0 ? 0xff : n >> 8);
		if (n > 0) {
			bytes_copy(h->usage + used, x->buffer, (size_t)n);
			used += (size_t)n;
		}
	}
	h->shown->usage_size = used;
	return 0;
}

/* Only the directory that was made here, and not once somebody has taken it over; a group that is gone is fine. */
int group_remove(struct host_side *h, struct group *g)
{
	struct executor *x = &h->x;
	struct statx st;
	long r;

	if (g->directory >= 0 && kernel_call(__NR_fgetxattr, g->directory, (long)MARK, (long)x->buffer, 64, 0, 0) > 0)
		return 0;
	r = kernel_call(__NR_statx, AT_FDCWD, (long)g->path, AT_SYMLINK_NOFOLLOW, STATX_INO, (long)&st, 0);
	if (r == 0 && g->inode && st.stx_ino != g->inode)
		return 0;
	if (r == 0)
		r = kernel_call(__NR_unlinkat, AT_FDCWD, (long)g->path, AT_REMOVEDIR, 0, 0, 0);
	if (r < 0 && r != -ENOENT && r != -ENODEV)
		return (int)r;
	let_go(&g->directory);
	return 0;
}

void groups_close(struct host_side *h)
{
	for (uint32_t i = 0; i < h->group_count; i++) {
		let_go(&h->group[i].parent);
		let_go(&h->group[i].directory);
	}
	h->group_count = 0;
}
