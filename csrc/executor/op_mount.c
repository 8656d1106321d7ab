/* Mounts.  Everything is made detached and attached by descriptor. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

/* The propagation of `path` in our own mount namespace: flags of mount(2). */
int op_propagate(struct executor *x, const struct propagate_args *a)
{
	const char *path = plan_text(x, a->path);

	if (!path)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	return (int)SYS5(x, __NR_mount, 0, path, 0, a->flags, 0);
}

/* Make the mount that holds this directory private, so that what is attached
 * below it stays here.  Its root is found by walking up. */
int op_privatize_parent(struct executor *x, const struct privatize_parent_args *a)
{
	struct mount_attr attr = { .propagation = 1 << 18 /* MS_PRIVATE */ };
	int fd = slot_fd(x, a->slot), mine = -1, r;

	if (fd < 0)
		return fd;
	for (int depth = 0; depth < PATH_LIMIT / 2; depth++) {
		struct statx st;

		r = (int)SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st);
		if (r < 0)
			break;
		if (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
			r = (int)SYS5(x, __NR_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
			break;
		}
		r = (int)SYS3(x, __NR_openat, fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (r < 0)
			break;
		quiet_close(mine);
		fd = mine = r;
		r = -ELOOP;
	}
	quiet_close(mine);
	return r;
}

/* The root file system, a path of the host.  A working directory stays what it
 * is in a mount namespace made later, where "." needs no right to search what
 * is above it. */
int op_open_root(struct executor *x, const struct open_root_args *a)
{
	const char *path = plan_text(x, a->path);
	int fd, r = 0;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	fd = (int)SYS3(x, __NR_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	if (a->enter)
		r = (int)SYS1(x, __NR_fchdir, fd);
	if (r < 0) {
		quiet_close(fd);
		return r;
	}
	if (a->enter)
		x->home_slot = a->slot;
	return slot_set(x, a->slot, fd);
}

/* Leave a directory that was needed for a moment. */
int go_home(struct executor *x)
{
	int home = x->home_slot < SLOT_LIMIT ? x->slot[x->home_slot] : -1;

	return home >= 0 ? (int)SYS1(x, __NR_fchdir, home) : (int)SYS1(x, __NR_chdir, "/");
}

/* Does the last component of `path`, or any before it, pass through a link? */
static int plain_directory(struct executor *x, int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS };
	long fd = SYS4(x, __NR_openat2, root, *path ? path : ".", &how, sizeof(how));

	if (fd == -ELOOP || fd == -ENOTDIR)
		return fault(x, FAULT_NOT_PLAIN, 0, (int)-fd);
	return (int)fd;
}

enum {
	OPEN_CREATE = 2,
	OPEN_PLAIN = 4,	     /* a real directory, no link on the way */
	OPEN_DIRECTORY = 8,
	OPEN_NOFOLLOW = 16,  /* the last component is a file, and no link */
	OPEN_NOT_PROC = 32,  /* not in a procfs */
	OPEN_LIKE_PROC = 64, /* the mount to be attached must be a procfs */
	OPEN_ITSELF = 128,   /* a link at the end of the path is what is opened */
};

#define PROC_SUPER_MAGIC 0x9fa0

static int is_procfs(struct executor *x, int fd)
{
	struct statfs_words st = { 0 };
	long r = SYS2(x, __NR_fstatfs, fd, &st);

	return r < 0 ? (int)r : st.type == PROC_SUPER_MAGIC;
}

/* A file that is no link, made empty when it is missing. */
static int open_no_link(struct executor *x, int root, const char *path)
{
	const char *name;
	struct statx st;
	int parent = path_parent(x, root, path, 1, &name), fd, r;

	if (parent < 0)
		return parent;
	fd = r = (int)SYS4(x, __NR_mknodat, parent, name, S_IFREG | 0644, 0);
	/* EROFS says nothing of what is there; where it turns out that nothing is, it is the reason. */
	if (r == 0 || r == -EEXIST || r == -EROFS)
		fd = (int)SYS3(x, __NR_openat, parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (r == -EROFS && fd == -ENOENT)
		fd = (int)SYS4(x, __NR_mknodat, parent, name, S_IFREG | 0644, 0);
	quiet_close(parent);
	if (fd < 0)
		return fd;
	r = (int)SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r == 0 && ((st.stx_mode & S_IFMT) == S_IFLNK || (st.stx_mode & S_IFMT) == S_IFDIR))
		r = fault(x, FAULT_NOT_PLAIN, 0, ELOOP);
	if (r < 0)
		quiet_close(fd);
	return r < 0 ? r : fd;
}

/* What is there under the last name, a link too; with `create` it is made when it is missing, and has to be of the
 * kind that is wanted. */
static int open_itself(struct executor *x, int root, const char *path, int create, int directory)
{
	const char *name;
	struct statx st;
	int parent = path_parent(x, root, path, create, &name), fd, r;

	if (parent < 0)
		return parent;
	fd = (int)SYS4(x, __NR_openat, parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd == -ENOENT && create) {
		r = directory ? (int)SYS3(x, __NR_mkdirat, parent, name, 0755)
			      : (int)SYS4(x, __NR_mknodat, parent, name, S_IFREG | 0644, 0);
		fd = r < 0 && r != -EEXIST ? r : (int)SYS4(x, __NR_openat, parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	}
	quiet_close(parent);
	if (fd < 0 || !create)
		return fd;
	r = (int)SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r == 0 && ((st.stx_mode & S_IFMT) == S_IFDIR) != directory)
		r = -ENOTDIR;
	if (r < 0)
		quiet_close(fd);
	return r < 0 ? r : fd;
}

/* Opens a path below the root.  `like` is a mount whose type (directory or
 * not) the target must have, or SLOT_LIMIT. */
int op_open_path(struct executor *x, const struct open_path_args *a)
{
	const char *path = plan_text(x, a->path);
	uint64_t flags = a->flags;
	int root = slot_fd(x, a->root), directory = !!(flags & OPEN_DIRECTORY), fd;

	if (!path || root < 0)
		return fault(x, FAULT_PLAN, 2, EINVAL);
	if (a->like < SLOT_LIMIT) {
		struct statx st;
		int like = slot_fd(x, a->like);
		long r = like < 0 ? like : SYS5(x, __NR_statx, like, "", AT_EMPTY_PATH, STATX_TYPE, &st);

		if (r < 0)
			return (int)r;
		directory = (st.stx_mode & S_IFMT) == S_IFDIR;
	}
	if (flags & OPEN_LIKE_PROC) {
		int proc = is_procfs(x, slot_fd(x, a->like));

		if (proc <= 0)
			return proc < 0 ? proc : fault(x, FAULT_NOT_PROC, 0, EINVAL);
	}
	if (flags & OPEN_NOFOLLOW) {
		fd = open_no_link(x, root, path);
	} else if (flags & OPEN_ITSELF) {
		fd = open_itself(x, root, path, !!(flags & OPEN_CREATE), directory);
	} else if (flags & OPEN_PLAIN) {
		fd = plain_directory(x, root, path);
		if (fd == -ENOENT && (flags & OPEN_CREATE)) {
			fd = path_create(x, root, path, 1);
			quiet_close(fd);
			if (fd >= 0)
				fd = plain_directory(x, root, path);
		}
	} else if (flags & OPEN_CREATE) {
		fd = path_create(x, root, path, directory);
	} else {
		fd = path_open(x, root, path, O_PATH | (directory ? O_DIRECTORY : 0), 0);
	}
	if (fd >= 0 && (flags & OPEN_NOT_PROC)) {
		int proc = is_procfs(x, fd);

		if (proc) {
			quiet_close(fd);
			return proc < 0 ? proc : fault(x, FAULT_ON_PROC, 0, EPERM);
		}
	}
	return fd < 0 ? fd : slot_set(x, a->slot, fd);
}

/* A detached copy of the mounts at `path`: a path of the host, or one below
 * `root` if that is not SLOT_LIMIT.  Host sources may be links: the caller
 * named them.  With `nofollow` it is the link itself that is mounted. */
int op_clone_tree(struct executor *x, const struct clone_tree_args *a)
{
	const char *path = plan_text(x, a->path);
	uint64_t flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (a->recursive ? AT_RECURSIVE : 0);
	int fd;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	if (a->root < SLOT_LIMIT) {
		int at = path_open(x, slot_fd(x, a->root), path, O_PATH | (a->nofollow ? O_NOFOLLOW : 0), 0);

		if (at < 0)
			return at;
		fd = (int)SYS3(x, __NR_open_tree, at, "", flags | AT_EMPTY_PATH);
		quiet_close(at);
	} else {
		fd = (int)SYS3(x, __NR_open_tree, AT_FDCWD, path, flags | (a->nofollow ? AT_SYMLINK_NOFOLLOW : 0));
	}
	return fd < 0 ? fd : slot_set(x, a->slot, fd);
}

/* A detached copy of what a slot refers to. */
int op_clone_mount(struct executor *x, const struct clone_mount_args *a)
{
	int from = slot_fd(x, a->source), fd;

	if (from < 0)
		return from;
	fd = (int)SYS3(x, __NR_open_tree, from, "",
		       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (a->recursive ? AT_RECURSIVE : 0));
	return fd < 0 ? fd : slot_set(x, a->slot, fd);
}

#define ATIME_CLASS (MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME)

/* The access time mode of statfs's flags in MOUNT_ATTR_ words. */
static uint64_t atime_class(long flags)
{
	uint64_t mode = flags & 0x400 ? MOUNT_ATTR_NOATIME : flags & 0x1000 ? MOUNT_ATTR_RELATIME : MOUNT_ATTR_STRICTATIME;

	return mode | (flags & 0x800 ? MOUNT_ATTR_NODIRATIME : 0);
}

/* `locked` are attributes that may not be cleared where the source has them
 * (the kernel locks them once the mount is in a user namespace's mount
 * namespace; the copy is not there yet, so the rule is kept here). */
int op_set_mount_attr(struct executor *x, const struct set_mount_attr_args *a)
{
	struct mount_attr attr = { .attr_set = a->set, .attr_clr = a->clear, .propagation = a->propagation };
	int fd = slot_fd(x, a->slot);

	if (fd < 0)
		return fd;
	if (a->locked) {
		struct statfs_words st = { 0 };
		uint64_t kept;
		long r = SYS2(x, __NR_fstatfs, fd, &st);

		if (r < 0)
			return (int)r;
		/* ST_RDONLY, ST_NOSUID, ST_NODEV, ST_NOEXEC have the values of the MOUNT_ATTR_ words. */
		kept = a->locked & (uint64_t)st.flags & 0xf;
		if ((a->locked & ATIME_CLASS) && atime_class(st.flags) != (a->set & ATIME_CLASS))
			kept |= ATIME_CLASS;
		if (kept)
			return fault(x, FAULT_LOCKED, kept, EPERM);
	}
	return (int)SYS5(x, __NR_mount_setattr, fd, "", AT_EMPTY_PATH | (a->recursive ? AT_RECURSIVE : 0), &attr,
			 sizeof(attr));
}

/* The kernel explains a refused option in the log of the file system context. */
void read_mount_log(struct executor *x, int fs)
{
	for (int i = 0; i < 8; i++) {
		long n = kernel_call(__NR_read, fs, (long)x->buffer, PATH_LIMIT - 1, 0, 0, 0);

		if (n <= 0)
			break;
		progress_output(x, x->buffer, (size_t)n);
	}
}

/* Options are pairs of strings in one vector: key, value; a NUL-byte-free
 * value of "\001" marks an option without value. */
int configure(struct executor *x, int fs, const struct plan_vector *options)
{
	for (uint32_t i = 0; i + 1 < options->count; i += 2) {
		const char *key = plan_text(x, options->offset[i]);
		const char *value = plan_text(x, options->offset[i + 1]);
		long r;

		if (value[0] == 1)
			r = SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_FLAG, key, 0, 0);
		else
			r = SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
		if (r < 0) {
			read_mount_log(x, fs);
			return fault(x, FAULT_OPTION, i / 2, (int)-r);
		}
	}
	return 0;
}

/* A tmpfs without mode= takes the mode of the directory it covers, if the image had one. */
static int inherit_mode(struct executor *x, int fs, int target)
{
	char mode[24];
	struct statx st;
	long r = SYS5(x, __NR_statx, target, "", AT_EMPTY_PATH, STATX_MODE, &st);

	if (r < 0)
		return (int)r;
	text_number(mode, st.stx_mode & 07777, 8);
	return (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_STRING, "mode", mode, 0);
}

/* `mode_from` is a directory whose mode the new root takes, or SLOT_LIMIT. */
int op_new_filesystem(struct executor *x, const struct new_filesystem_args *a)
{
	const char *type = plan_text(x, a->type);
	const struct plan_vector *options = plan_vector(x, a->options);
	int fs, mount, r;

	if (!type || !options)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	fs = (int)SYS2(x, __NR_fsopen, type, FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	r = configure(x, fs, options);
	if (r == 0 && a->mode_from < SLOT_LIMIT && !x->created)
		r = inherit_mode(x, fs, slot_fd(x, a->mode_from));
	if (r == 0) {
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
		if (r == 0)
			r = (int)SYS3(x, __NR_fsmount, fs, FSMOUNT_CLOEXEC, a->attributes);
		if (r < 0)
			read_mount_log(x, fs);
	}
	mount = r;
	quiet_close(fs);
	return mount < 0 ? mount : slot_set(x, a->slot, mount);
}

/* mount(2) on a directory, for what the new calls cannot carry: values over
 * 255 bytes and the flags without a word.  The target is the working
 * directory, never a path. */
int op_mount_classic(struct executor *x, const struct mount_classic_args *a)
{
	int fd = slot_fd(x, a->slot), r;

	if (fd < 0)
		return fd;
	r = (int)SYS1(x, __NR_fchdir, fd);
	if (r < 0)
		return r;
	r = (int)SYS5(x, __NR_mount, plan_text(x, a->source), ".", plan_text(x, a->type), a->flags,
		      plan_text(x, a->data));
	if (r < 0)
		return r;
	return go_home(x);
}

/* Change the options of the file system mounted there. */
int op_reconfigure(struct executor *x, const struct reconfigure_args *a)
{
	const struct plan_vector *options = plan_vector(x, a->options);
	int fd = slot_fd(x, a->slot), fs, r;

	if (fd < 0 || !options)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	fs = (int)SYS3(x, __NR_fspick, fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
	if (fs < 0)
		return fs;
	r = configure(x, fs, options);
	if (r == 0) {
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0);
		if (r < 0)
			read_mount_log(x, fs);
	}
	quiet_close(fs);
	return r;
}

int op_attach(struct executor *x, const struct attach_args *a)
{
	int mount = slot_fd(x, a->slot), target = slot_fd(x, a->target);

	if (mount < 0 || target < 0)
		return mount < 0 ? mount : target;
	return (int)SYS5(x, __NR_move_mount, mount, "", target, "",
			 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int op_close(struct executor *x, const struct close_args *a)
{
	return slot_set(x, a->slot, -1);
}
