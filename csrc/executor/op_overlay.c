/* An overlay: what is written goes to a directory of its own, and the layers below stay as they are. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A new directory; its descriptor. */
static int made_directory(struct executor *x, int parent, const char *name)
{
	int r = (int)SYS3(x, __NR_mkdirat, parent, name, 0700);

	return r < 0 ? r : (int)SYS4(x, __NR_openat, parent, name, DIRECTORY, 0);
}

/* The root of the overlay has the attributes of the upper directory. */
static int take_attributes(struct executor *x, int upper, int like)
{
	struct statx st;
	int r = (int)SYS5(x, __NR_statx, like, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st);

	if (r == 0)
		r = (int)SYS3(x, __NR_fchown, upper, st.stx_uid, st.stx_gid);
	/* 65534 stands for ids that the user namespace lacks; where it lacks that one too, its root is the owner. */
	if (r == -EINVAL)
		r = 0;
	return r < 0 ? r : (int)SYS2(x, __NR_fchmod, upper, st.stx_mode & 07777);
}

/* The directories of an upper layer, in an empty file system; `like` is the
 * root that it will stand for.  With `mark`, the name of an extended attribute,
 * the file system must know such ones: without them a directory that was
 * removed could not be made again. */
int op_prepare_upper(struct executor *x, const struct prepare_upper_args *a)
{
	const char *mark = plan_text(x, a->mark);
	int room = slot_fd(x, a->slot), like = slot_fd(x, a->like), upper, work = -1, r;

	if (room < 0 || like < 0)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	upper = r = made_directory(x, room, "upper");
	if (r >= 0)
		work = r = made_directory(x, room, "work");
	if (r >= 0 && mark)
		r = (int)SYS5(x, __NR_fsetxattr, work, mark, "y", 1, 0);
	if (r >= 0)
		r = take_attributes(x, upper, like);
	quiet_close(upper);
	quiet_close(work);
	return r;
}

/* A layer by its descriptor, or the directory `name` in it: the working
 * directory is a procfs that is proven to be one. */
static int set_layer(struct executor *x, int fs, const char *key, int fd, const char *name)
{
	size_t length;

	bytes_copy(x->buffer, "self/fd/", 8);
	length = 8 + text_number(x->buffer + 8, (uint64_t)fd, 10);
	bytes_copy(x->buffer + length, name, text_length(name) + 1);
	return (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_SET_STRING, key, x->buffer, 0);
}

/* An overlay that is yet to be made, in `overlay`, gets one more read-only layer, below those it has (Linux 6.7). */
int op_add_layer(struct executor *x, const struct add_layer_args *a)
{
	int layer = slot_fd(x, a->slot), proc = slot_fd(x, a->proc), fs = slot_fd(x, a->overlay), r;

	if (layer < 0 || proc < 0)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	if (fs < 0) {
		fs = r = (int)SYS2(x, __NR_fsopen, "overlay", FSOPEN_CLOEXEC);
		if (r >= 0)
			r = slot_set(x, a->overlay, fs);
		if (r < 0)
			return r;
	}
	r = (int)SYS1(x, __NR_fchdir, proc);
	if (r >= 0) {
		r = set_layer(x, fs, "lowerdir+", layer, "");
		if (r < 0)
			read_mount_log(x, fs);
	}
	return r;
}

static int make_overlay(struct executor *x, int lower, int room, const struct new_overlay_args *a)
{
	const struct plan_vector *options = plan_vector(x, a->options);
	struct statfs_words below = { 0 };
	int proc = slot_fd(x, a->proc), layers = slot_fd(x, a->layers), fs = layers, r;

	if (proc < 0 || !options)
		return fault(x, FAULT_PLAN, 4, EINVAL);
	r = (int)SYS2(x, __NR_fstatfs, lower, &below);
	if (r == 0)
		r = (int)SYS1(x, __NR_fchdir, proc);
	if (r >= 0 && fs < 0)
		fs = r = (int)SYS2(x, __NR_fsopen, "overlay", FSOPEN_CLOEXEC);
	if (r >= 0)
		r = set_layer(x, fs, layers < 0 ? "lowerdir" : "lowerdir+", lower, "");
	if (r >= 0)
		r = set_layer(x, fs, "upperdir", room, "/upper");
	if (r >= 0)
		r = set_layer(x, fs, "workdir", room, "/work");
	if (r >= 0)
		r = configure(x, fs, options);
	if (r >= 0) {
		r = (int)SYS5(x, __NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
		if (r == 0) /* nosuid, nodev and noexec of the mount below have the same bits in both words */
			r = (int)SYS3(x, __NR_fsmount, fs, FSMOUNT_CLOEXEC,
				      below.flags & (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
		if (r < 0)
			read_mount_log(x, fs);
	}
	if (layers < 0)
		quiet_close(fs);
	if (r >= 0) {
		/* Where hooks begin; not back, as the caller's directory may be closed to the root of the user namespace. */
		int back = (int)SYS1(x, __NR_fchdir, r);

		if (back < 0) {
			quiet_close(r);
			r = back;
		}
	}
	return r;
}

/* `upper` is a file system that `prepare_upper` has made ready.  The slot may be
 * that of the lowest layer, of which the overlay keeps a copy; `layers` is what
 * `add_layer` has given those above it, or no slot. */
int op_new_overlay(struct executor *x, const struct new_overlay_args *a)
{
	int lower = slot_fd(x, a->lower), room = slot_fd(x, a->upper), r;

	if (lower < 0 || room < 0)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	r = make_overlay(x, lower, room, a);
	if (r >= 0 && x->home_slot < SLOT_LIMIT)
		x->home_slot = a->slot;
	return r < 0 ? r : slot_set(x, a->slot, r);
}
