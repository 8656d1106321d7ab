/* Files below the root: device nodes, links; and files of procfs. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

/* As the kernel encodes it for mknod(2). */
static uint64_t node_number(uint64_t major, uint64_t minor)
{
	return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xffull) << 12) | ((major & ~0xfffull) << 32);
}

static int is_node(const struct statx *st, uint64_t mode, uint64_t major, uint64_t minor)
{
	if ((st->stx_mode & S_IFMT) != (mode & S_IFMT))
		return 0;
	return (mode & S_IFMT) == S_IFIFO || (st->stx_rdev_major == major && st->stx_rdev_minor == minor);
}

/* `mode` has the type, `device` is major << 32 | minor, `owner` is uid << 32 |
 * gid.  A file that is there already must be that very device.  Its mode is set
 * by making it anew: fchmodat2 came with Linux 6.6 only. */
int op_make_node(struct executor *x, const struct make_node_args *a)
{
	const char *path = plan_text(x, a->path), *name;
	uint64_t mode = a->mode, major = a->device >> 32, minor = a->device & 0xffffffff;
	uint64_t uid = a->owner >> 32, gid = a->owner & 0xffffffff;
	int parent, fd, r;
	struct statx st;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	parent = path_parent(x, slot_fd(x, a->root), path, 1, &name);
	if (parent < 0)
		return parent;
	r = (int)SYS4(x, __NR_mknodat, parent, name, mode, node_number(major, minor));
	if (r == -EEXIST) {
		r = (int)SYS5(x, __NR_statx, parent, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);
		if (r == 0 && !is_node(&st, mode, major, minor))
			r = fault(x, FAULT_NODE_DIFFERS, st.stx_mode, EEXIST);
		else if (r == 0 && (st.stx_mode & 07777) != (mode & 07777)) {
			r = (int)SYS3(x, __NR_unlinkat, parent, name, 0);
			if (r == 0)
				r = (int)SYS4(x, __NR_mknodat, parent, name, mode, node_number(major, minor));
		}
	}
	if (r < 0)
		goto out;
	fd = r = (int)SYS3(x, __NR_openat, parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (r < 0)
		goto out;
	/* What we change must be what we made, whoever shares this directory. */
	r = (int)SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st);
	if (r == 0 && !is_node(&st, mode, major, minor))
		r = fault(x, FAULT_NODE_DIFFERS, st.stx_mode, EEXIST);
	if (r == 0 && (st.stx_uid != uid || st.stx_gid != gid))
		r = (int)SYS5(x, __NR_fchownat, fd, "", uid, gid, AT_EMPTY_PATH);
	quiet_close(fd);
out:
	quiet_close(parent);
	return r;
}

enum { LINK_OR_NOTHING = 2 };

/* `needs` is a path that must exist, or 0.  Without `replace` an existing entry
 * stays; otherwise one that is not that link is replaced, or with
 * LINK_OR_NOTHING an error. */
int op_make_link(struct executor *x, const struct make_link_args *a)
{
	const char *path = plan_text(x, a->path), *text = plan_text(x, a->text), *name;
	const char *needs = plan_text(x, a->needs);
	int root = slot_fd(x, a->root), parent, r;
	long n;

	if (!path || !text)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	if (needs) {
		int there = path_open(x, root, needs, O_PATH | O_NOFOLLOW, 0);

		if (there == -ENOENT || there == -ENOTDIR)
			return 0;
		if (there < 0)
			return there;
		quiet_close(there);
	}
	parent = path_parent(x, root, path, 1, &name);
	if (parent < 0)
		return parent;
	r = (int)SYS3(x, __NR_symlinkat, text, parent, name);
	if (r == -EEXIST && a->replace) {
		n = SYS4(x, __NR_readlinkat, parent, name, x->buffer, PATH_LIMIT - 1);
		if (n > 0) {
			x->buffer[n] = 0;
			if (text_equal(x->buffer, text)) {
				r = 0;
				goto out;
			}
		}
		if (a->replace == LINK_OR_NOTHING) {
			r = -EEXIST;
			goto out;
		}
		r = (int)SYS3(x, __NR_unlinkat, parent, name, 0);
		if (r == 0)
			r = (int)SYS3(x, __NR_symlinkat, text, parent, name);
	} else if (r == -EEXIST) {
		r = 0;
	}
out:
	quiet_close(parent);
	return r;
}

/* The slot is the host's procfs, checked by the runtime; nothing mounted in or
 * over it can be reached (NO_XDEV), and no magic link is followed. */
static int write_below(struct executor *x, int proc, const char *path, const char *text)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS };
	int fd, r;
	size_t n;

	if (proc < 0 || !path || !text)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	fd = (int)SYS4(x, __NR_openat2, proc, path, &how, sizeof(how));
	if (fd < 0)
		return fd;
	n = text_length(text);
	r = (int)SYS3(x, __NR_write, fd, text, n);
	quiet_close(fd);
	if (r >= 0 && (size_t)r != n)
		r = -EIO;
	return r < 0 ? r : 0;
}

int op_write_proc(struct executor *x, const struct write_proc_args *a)
{
	return write_below(x, slot_fd(x, a->proc), plan_text(x, a->path), plan_text(x, a->value));
}

/* An attribute that a security module keeps for this task. */
int op_set_label(struct executor *x, const struct set_label_args *a)
{
	return write_below(x, slot_fd(x, a->proc), plan_text(x, a->path), plan_text(x, a->value));
}

/* Of the root of a file system that takes no option for it.  The mount is the
 * working directory, never a path. */
int op_set_file_label(struct executor *x, const struct set_file_label_args *a)
{
	const char *label = plan_text(x, a->label);
	int fd = slot_fd(x, a->slot), r;

	if (fd < 0 || !label)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	r = (int)SYS1(x, __NR_fchdir, fd);
	if (r == 0)
		r = (int)SYS5(x, __NR_setxattr, ".", "security.selinux", label, text_length(label) + 1, 0);
	return r < 0 ? r : go_home(x);
}
