/* The change of root, and what is hidden or closed below it. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/stat.h>

#define MNT_DETACH 2
#ifndef OPEN_TREE_NAMESPACE
#define OPEN_TREE_NAMESPACE 2 /* Linux 7.0 */
#endif
#define UMOUNT_NOFOLLOW 8

/* open_tree(2) copies this tree into a mount namespace of its own, on top of a copy of the first mount there is, which
 * has nothing else in it. */
int op_copy_root(struct executor *x, const struct copy_root_args *a)
{
	int source = slot_fd(x, a->source), r;

	if (source < 0)
		return source;
	r = (int)SYS3(x, __NR_open_tree, source, "",
		      OPEN_TREE_NAMESPACE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	return r < 0 ? r : slot_set(x, a->slot, r);
}

/* setns(2) leads to what is on top.  That this is the tree that was asked for is looked at: a path names something
 * else from here on. */
int op_enter_tree(struct executor *x, const struct enter_tree_args *a)
{
	int source = slot_fd(x, a->source), namespace = slot_fd(x, a->namespace), root = -1, r;
	struct statx wanted, found;

	if (source < 0 || namespace < 0)
		return source < 0 ? source : namespace;
	r = (int)SYS5(x, __NR_statx, source, "", AT_EMPTY_PATH, STATX_INO, &wanted);
	if (r == 0)
		r = (int)SYS2(x, __NR_setns, namespace, CLONE_NEWNS);
	if (r == 0)
		root = r = (int)SYS3(x, __NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r >= 0)
		r = (int)SYS5(x, __NR_statx, root, "", AT_EMPTY_PATH, STATX_INO, &found);
	if (r == 0 && (found.stx_ino != wanted.stx_ino || found.stx_dev_major != wanted.stx_dev_major ||
		       found.stx_dev_minor != wanted.stx_dev_minor))
		r = -EXDEV;
	if (r >= 0)
		return slot_set(x, a->slot, root);
	quiet_close(root);
	return r;
}

/* "." on both sides: the old root ends up on top of the new one and is taken
 * off at once, so it never has a name. */
int op_pivot(struct executor *x, const struct pivot_args *a)
{
	int root = slot_fd(x, a->root), old, r;

	if (root < 0)
		return root;
	old = (int)SYS3(x, __NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0)
		return old;
	r = (int)SYS1(x, __NR_fchdir, root);
	if (r == 0)
		r = (int)SYS2(x, __NR_pivot_root, ".", ".");
	if (r == 0)
		r = (int)SYS1(x, __NR_fchdir, old);
	/* slave, or the umount would travel to the host */
	if (r == 0)
		r = (int)SYS5(x, __NR_mount, 0, ".", 0, (1 << 19) | (1 << 14) /* MS_SLAVE|MS_REC */, 0);
	if (r == 0)
		r = (int)SYS2(x, __NR_umount2, ".", MNT_DETACH);
	if (r == 0)
		r = (int)SYS1(x, __NR_chdir, "/");
	x->home_slot = SLOT_LIMIT;
	quiet_close(old);
	return r;
}

/* `top` takes what is covered.  For hosts whose root cannot be pivoted
 * (initramfs): the new root goes over "/" of the whole mount namespace, of
 * which a caller in a chroot sees a part only; setns(2) to our own namespace
 * leads there.  Private first, or the host would get the new root too. */
int op_move_root(struct executor *x, const struct move_root_args *a)
{
	int root = slot_fd(x, a->root), self, top = -1, r;

	if (root < 0)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	self = r = (int)SYS2(x, __NR_pidfd_open, kernel_call(__NR_getpid, 0, 0, 0, 0, 0, 0), 0);
	if (r >= 0)
		r = (int)SYS2(x, __NR_setns, self, CLONE_NEWNS);
	quiet_close(self);
	if (r >= 0)
		top = r = (int)SYS3(x, __NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r >= 0)
		r = (int)SYS5(x, __NR_mount, 0, "/", 0, 1 << 18 /* MS_PRIVATE */, 0);
	if (r >= 0)
		r = (int)SYS1(x, __NR_fchdir, root);
	if (r >= 0)
		r = (int)SYS5(x, __NR_mount, ".", "/", 0, 1 << 13 /* MS_MOVE */, 0);
	if (r >= 0)
		return slot_set(x, a->top, top);
	quiet_close(top);
	return r;
}

/* Take off what is mounted at the path, below the directory of the slot, with
 * all below it; or cover it, where the kernel holds it fast.  With `pass_over`
 * what is not there or not within reach stays: the runtime looks again. */
int op_hide_mount(struct executor *x, const struct hide_mount_args *a)
{
	const char *path = plan_text(x, a->path);
	int at = slot_fd(x, a->slot), r;

	if (at < 0 || !path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	r = (int)SYS1(x, __NR_fchdir, at);
	if (r < 0)
		return r;
	if (a->cover) {
		r = (int)SYS5(x, __NR_mount, "tmpfs", path, "tmpfs", 0xf /* ro, nosuid, nodev, noexec */, 0);
	} else {
		/* Private, or it would be taken off on the host too. */
		r = (int)SYS5(x, __NR_mount, 0, path, 0, (1 << 18) | (1 << 14) /* MS_PRIVATE|MS_REC */, 0);
		if (r == 0)
			r = (int)SYS2(x, __NR_umount2, path, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	if (a->pass_over && (r == -ENOENT || r == -ENOTDIR || r == -EINVAL))
		r = 0;
	return r < 0 ? r : go_home(x);
}

/* Take off the mount whose root is in `slot`, with all below it: named by the
 * descriptor, in the host's procfs, as the container may change every path.
 * Private first, or what is below it would be taken off on the host too. */
int op_unmount(struct executor *x, const struct unmount_args *a)
{
	static const char where[] = "self/fd/";
	char *path = x->buffer; /* not on the stack: an error names it later */
	int fd = slot_fd(x, a->slot), proc = slot_fd(x, a->proc), r;

	if (fd < 0 || proc < 0)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	bytes_copy(path, where, sizeof(where));
	text_number(path + sizeof(where) - 1, (uint64_t)fd, 10);
	r = (int)SYS1(x, __NR_fchdir, proc);
	if (r == 0)
		r = (int)SYS5(x, __NR_mount, 0, path, 0, (1 << 18) | (1 << 14) /* MS_PRIVATE|MS_REC */, 0);
	if (r == 0)
		r = (int)SYS2(x, __NR_umount2, path, MNT_DETACH);
	if (r == 0)
		r = (int)SYS1(x, __NR_chdir, "/");
	return r < 0 ? r : slot_set(x, a->slot, -1);
}

/* Without a mount namespace there is only chroot. */
int op_change_root(struct executor *x, const struct change_root_args *a)
{
	int root = slot_fd(x, a->root), r;

	if (root < 0)
		return root;
	r = (int)SYS1(x, __NR_fchdir, root);
	if (r == 0)
		r = (int)SYS1(x, __NR_chroot, ".");
	return r < 0 ? r : (int)SYS1(x, __NR_chdir, "/");
}

/* An empty read-only directory, from a tmpfs that has room for nothing; with an SELinux context or NULL. */
static int empty_directory(struct executor *x, const char *context)
{
	int fs = (int)SYS2(x, __NR_fsopen, "tmpfs", FSOPEN_CLOEXEC), r = fs;

	if (r >= 0)
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0);
	if (r >= 0)
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "755", 0);
	if (r >= 0 && context)
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_STRING, "context", context, 0);
	if (r >= 0)
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
	if (r >= 0)
		r = (int)SYS3(x, __NR_fsmount, fs, FSMOUNT_CLOEXEC,
			      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	quiet_close(fs);
	return r;
}

static int copy_of(struct executor *x, int mount, int recursive)
{
	return (int)SYS3(x, __NR_open_tree, mount, "",
			 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}

static int put_on(struct executor *x, int mount, int target)
{
	return (int)SYS5(x, __NR_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* `null` is the host's /dev/null, `empty` the empty directory (made at first
 * use), `label` its SELinux context or 0.  Only a missing path is passed over;
 * that it is this path which is missing is certain, as nothing else is looked
 * up. */
int op_mask(struct executor *x, const struct mask_args *a)
{
	const char *path = plan_text(x, a->path);
	int empty = slot_fd(x, a->empty), target, cover = -1, r;
	struct statx st;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	target = path_open(x, slot_fd(x, a->root), path, O_PATH, 0);
	if (target < 0)
		return target == -ENOENT || target == -ENOTDIR ? 0 : target;
	r = (int)SYS5(x, __NR_statx, target, "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (r == 0 && (st.stx_mode & S_IFMT) != S_IFDIR && !x->null_attached) {
		/* Before Linux 6.15 a mount can be copied only once it is attached in our namespace. */
		r = put_on(x, slot_fd(x, a->null), target);
		x->null_attached = r >= 0;
	} else if (r == 0 && (st.stx_mode & S_IFMT) != S_IFDIR) {
		cover = r = copy_of(x, slot_fd(x, a->null), 0);
		if (r >= 0)
			r = put_on(x, cover, target);
		quiet_close(cover);
	} else if (r == 0 && empty < 0) {
		/* Attached first, for the same reason. */
		cover = r = empty_directory(x, plan_text(x, a->label));
		if (r >= 0)
			r = put_on(x, cover, target);
		if (r >= 0)
			r = slot_set(x, a->empty, cover);
		else
			quiet_close(cover);
	} else if (r == 0) {
		cover = r = copy_of(x, empty, 0);
		if (r >= 0)
			r = put_on(x, cover, target);
		quiet_close(cover);
	}
	quiet_close(target);
	return r < 0 ? r : 0;
}

/* Read-only, with all other flags as they are. */
int op_make_readonly(struct executor *x, const struct make_readonly_args *a)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	const char *path = plan_text(x, a->path);
	int target, mount, r;

	if (!path)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	target = path_open(x, slot_fd(x, a->root), path, O_PATH, 0);
	if (target < 0)
		return target == -ENOENT || target == -ENOTDIR ? 0 : target;
	mount = r = copy_of(x, target, 1);
	if (r >= 0)
		r = (int)SYS5(x, __NR_mount_setattr, mount, "", AT_EMPTY_PATH, &attr, sizeof(attr));
	if (r >= 0)
		r = put_on(x, mount, target);
	quiet_close(mount);
	quiet_close(target);
	return r;
}
