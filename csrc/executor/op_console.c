/* The terminal of the container, and its standard streams. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>

#define TIOCSPTLCK 0x40045431
#define TIOCGPTPEER 0x5441
#define TIOCSWINSZ 0x5414
#define TIOCSCTTY 0x540E

static int is_device(struct executor *x, int fd, uint32_t major, uint32_t minor)
{
	struct statx st;
	long r = SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st);

	if (r < 0)
		return (int)r;
	return (st.stx_mode & S_IFMT) == S_IFCHR && st.stx_rdev_major == major && st.stx_rdev_minor == minor;
}

/* `size` is rows << 16 | columns, `uid` is to own the slave.  The multiplexer
 * is opened without following links, and must be 5:2; its peer comes from the
 * kernel, not from a name. */
int op_open_console(struct executor *x, const struct open_console_args *a)
{
	struct {
		unsigned short rows, columns, xpixel, ypixel;
	} size = { (unsigned short)(a->size >> 16), (unsigned short)a->size, 0, 0 };
	int zero = 0, devpts, master, slave, r;

	devpts = path_open(x, slot_fd(x, a->root), "/dev/pts", O_PATH | O_DIRECTORY, 0);
	if (devpts < 0)
		return devpts;
	master = (int)SYS4(x, __NR_openat, devpts, "ptmx", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	r = master < 0 ? master : is_device(x, master, 5, 2);
	quiet_close(master);
	if (r == 0)
		r = fault(x, FAULT_NOT_DEVPTS, 0, ENODEV);
	if (r > 0)
		master = r = (int)SYS4(x, __NR_openat, devpts, "ptmx", O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0);
	quiet_close(devpts);
	if (r < 0)
		return r;
	r = slot_set(x, a->master, master);
	if (r == 0)
		r = is_device(x, master, 5, 2);
	if (r == 0)
		r = fault(x, FAULT_NOT_DEVPTS, 0, ENODEV);
	if (r > 0)
		r = (int)SYS3(x, __NR_ioctl, master, TIOCSPTLCK, &zero);
	if (r < 0)
		return r;
	slave = r = (int)SYS3(x, __NR_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (r >= 0)
		r = slot_set(x, a->slave, slave);
	if (r == 0 && a->size)
		r = (int)SYS3(x, __NR_ioctl, master, TIOCSWINSZ, &size);
	if (r == 0)
		r = (int)SYS3(x, __NR_fchown, slave, a->uid, ~0u);
	return r;
}

/* The slave becomes 0, 1, 2 and the controlling terminal.  `target` is the
 * file /dev/console, or SLOT_LIMIT. */
int op_use_console(struct executor *x, const struct use_console_args *a)
{
	int slave = slot_fd(x, a->slave), r = slave;

	if (slave >= 0 && a->target < SLOT_LIMIT) {
		int target = slot_fd(x, a->target);
		int copy = (int)SYS3(x, __NR_open_tree, slave, "",
				     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

		if (copy < 0)
			return copy;
		r = target < 0 ? target :
				 (int)SYS5(x, __NR_move_mount, copy, "", target, "",
					   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
		quiet_close(copy);
	}
	if (r >= 0)
		r = (int)SYS3(x, __NR_ioctl, slave, TIOCSCTTY, 0);
	for (int fd = 0; fd < 3 && r >= 0; fd++)
		r = (int)SYS3(x, __NR_dup3, slave, fd, 0);
	return r < 0 ? r : slot_set(x, a->slave, -1);
}

/* Standard streams that are the host's /dev/null become the container's, if
 * that is a real one; the others are given to the user, so that /dev/stdout
 * can be opened again.  Nobody's /dev/null changes owner. */
int op_fix_stdio(struct executor *x, const struct fix_stdio_args *a)
{
	for (int fd = 0; fd < 3; fd++) {
		int null = is_device(x, fd, 1, 3);

		if (null == -EBADF)
			continue;
		if (null < 0)
			return null;
		if (null) {
			int root = slot_fd(x, a->root), mine = -1;
			int seen = path_open(x, root, "/dev/null", O_PATH | O_NOFOLLOW, 0);

			/* To open another device may be an act; and it is looked at again, as others may rename there. */
			if (seen >= 0 && is_device(x, seen, 1, 3) > 0)
				mine = path_open(x, root, "/dev/null", O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
			if (mine >= 0 && is_device(x, mine, 1, 3) > 0)
				SYS3(x, __NR_dup3, mine, fd, 0);
			quiet_close(seen);
			quiet_close(mine);
		} else {
			struct statx st;

			/* Not ours, or on a read-only or foreign file system: it stays as it is.  So does a file
			 * that is only read: whoever gives it did not give it away. */
			if (SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_UID | STATX_TYPE, &st) == 0 &&
			    st.stx_uid != a->uid && !(fd == 0 && (st.stx_mode & S_IFMT) == S_IFREG))
				SYS3(x, __NR_fchown, fd, a->uid, ~0u);
		}
	}
	return 0;
}
