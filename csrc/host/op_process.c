/* The helper: its start, what only the runtime may do to it, and its end. */
#include "host.h"

#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/wait.h>

#define SIGNAL_KILL 9
#define POLL_IN 1
#define DEATH 5 /* seconds that a killed process may take */
#define SOCKETS_OF_MESSAGES 5 /* SOCK_SEQPACKET: keeps messages whole, and says end-of-file when the peer has gone */

/* The record of the helper's progress: a file that other commands read, or memory. */
static int make_record(struct host_side *h)
{
	struct executor *x = &h->x;
	struct progress head = { .magic = OCIRUN_PROGRESS_MAGIC, .stamp_count = h->shown->stamps };
	size_t size = sizeof(head) + h->shown->stamps * sizeof(head.stamp[0]);
	long r;
	int fd;

	if (h->shown->names)
		fd = (int)SYS4(x, __NR_openat, h->shown->directory, "progress",
			       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	else
		fd = (int)SYS2(x, __NR_memfd_create, "progress", 1 /* MFD_CLOEXEC */);
	if (fd < 0)
		return fd;
	h->shown->progress = fd;
	r = SYS2(x, __NR_ftruncate, fd, size);
	if (r == 0)
		r = SYS4(x, __NR_pwrite64, fd, &head, sizeof(head) - PROGRESS_OUTPUT - PROGRESS_OBJECT, 0);
	if (r >= 0 && h->shown->names)
		r = SYS4(x, __NR_pwrite64, fd, h->shown->names, h->shown->names_size, size);
	return r < 0 ? (int)r : 0;
}

int host_spawn(struct host_side *h, const struct spawn_args *a)
{
	struct executor *x = &h->x;
	struct host *s = h->shown;
	struct spawn_request q = { .flags = a->flags, .keep = s->keep, .keep_count = s->keep_count };
	int plan = -1, helper = -1, ends[2] = { -1, -1 }, inherit[SLOT_LIMIT], r;

	if (!s->init_plan || s->inherited <= SLOT_SYNC || s->inherited > SLOT_LIMIT)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	r = make_record(h);
	if (r == 0) {
		note_call(h, __NR_memfd_create, (long)"plan");
		r = plan = ocirun_sealed_fd("plan", s->init_plan, s->init_size);
	}
	if (r >= 0) {
		note_call(h, __NR_memfd_create, (long)"ocirun-init");
		r = helper = ocirun_helper_fd();
	}
	if (r >= 0)
		r = (int)SYS4(x, __NR_socketpair, 1 /* AF_UNIX */, SOCKETS_OF_MESSAGES | O_CLOEXEC, 0, ends);
	if (r >= 0) {
		for (int i = 0; i < s->inherited; i++)
			inherit[i] = x->slot[i];
		inherit[SLOT_PLAN] = plan;
		inherit[SLOT_PROGRESS] = s->progress;
		inherit[SLOT_SYNC] = ends[1];
		q.helper_fd = helper;
		q.cgroup_fd = h->start_in >= 0 ? h->start_in : s->start_in;
		q.inherit = inherit;
		q.inherit_count = s->inherited;
		q.fd_base = (int)s->fd_base;
		for (int i = 0; i < 3; i++)
			q.stdio[i] = s->stdio[i];
		r = ocirun_spawn(&q);
		note_call(h, q.call, -1);
	}
	if (r > 0) {
		s->pid = r;
		s->pidfd = q.pidfd;
		s->sync = ends[0];
		ends[0] = -1;
		r = undo_push(h, UNDO_PROCESS, 0);
	}
	quiet_close(plan);
	quiet_close(helper);
	quiet_close(ends[0]);
	quiet_close(ends[1]);
	return r;
}

/* /proc/PID/FILE of the helper, in x->home. */
static const char *process_file(struct host_side *h, const char *file)
{
	char *path = h->x.home;
	size_t n = 6, length = text_length(file);

	bytes_copy(path, "/proc/", 6);
	n += text_number(path + n, (uint64_t)h->shown->pid, 10);
	path[n++] = '/';
	if (n + length + 1 > PATH_LIMIT)
		length = 0;
	bytes_copy(path + n, file, length);
	path[n + length] = 0;
	return path;
}

static int write_there(struct host_side *h, const char *file, const char *text)
{
	struct executor *x = &h->x;
	int fd = (int)SYS4(x, __NR_openat, AT_FDCWD, process_file(h, file), O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0), r;

	if (fd < 0)
		return fd;
	r = (int)SYS3(x, __NR_write, fd, text, text_length(text));
	quiet_close(fd);
	return r < 0 ? r : 0;
}

/* By the runtime itself; a program that does it for ordinary users is the interpreter's to call. */
int host_write_id_maps(struct host_side *h, const struct write_id_maps_args *a)
{
	struct executor *x = &h->x;
	const char *uids = plan_text(x, a->uid_map), *gids = plan_text(x, a->gid_map);
	const char *programs[2] = { plan_text(x, a->uid_program), plan_text(x, a->gid_program) };
	const char *setgroups = plan_text(x, a->setgroups);
	int r = 0;

	if (!uids || !gids || (a->setgroups && !setgroups))
		return fault(x, FAULT_PLAN, 0, EINVAL);
	if ((programs[0] && *programs[0]) || (programs[1] && *programs[1]))
		return HOST_ASK;
	if (setgroups && text_equal(setgroups, "deny"))
		r = write_there(h, "setgroups", "deny");
	if (r == 0)
		r = write_there(h, "gid_map", gids);
	return r ? r : write_there(h, "uid_map", uids);
}

/* time_namespaces(7): before any process is in it. */
int host_write_time_offsets(struct host_side *h, const struct write_time_offsets_args *a)
{
	const char *offsets = plan_text(&h->x, a->offsets);

	return offsets ? write_there(h, "timens_offsets", offsets) : fault(&h->x, FAULT_PLAN, 0, EINVAL);
}

int host_write_process(struct host_side *h, const struct write_process_args *a)
{
	const char *file = plan_text(&h->x, a->file), *value = plan_text(&h->x, a->value);

	return file && value ? write_there(h, file, value) : fault(&h->x, FAULT_PLAN, 0, EINVAL);
}

int host_limit_process(struct host_side *h, const struct limit_process_args *a)
{
	uint64_t limit[2] = { a->soft, a->hard };

	return (int)SYS4(&h->x, __NR_prlimit64, h->shown->pid, a->resource, limit, 0);
}

/* A copy of the mounts at a path, for the next answer.  A slave of them, as the
 * helper's own are: what the container mounts there must not reach the host. */
int host_open_source(struct host_side *h, const struct open_source_args *a)
{
	struct executor *x = &h->x;
	struct mount_attr attr = { .propagation = 1 << 19 /* MS_SLAVE */ };
	unsigned below = a->recursive ? AT_RECURSIVE : 0;
	const char *path = plan_text(x, a->path);
	int fd;

	if (!path)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	fd = (int)SYS3(x, __NR_open_tree, AT_FDCWD, path,
		       OPEN_TREE_CLONE | O_CLOEXEC | below | (a->nofollow ? AT_SYMLINK_NOFOLLOW : 0));
	if (fd < 0)
		return fd;
	quiet_close(h->shown->answer);
	h->shown->answer = fd;
	return (int)SYS5(x, __NR_mount_setattr, fd, "", AT_EMPTY_PATH | below, &attr, sizeof(attr));
}

/* Kill it, wait until it has ended, and reap it; whoever else has reaped it is fine. */
int process_end(struct host_side *h)
{
	struct poll_words p = { h->shown->pidfd, POLL_IN, 0 };
	struct siginfo_words info = { 0 };
	int64_t limit[2] = { DEATH, 0 };
	long r;

	if (h->shown->pidfd < 0)
		return 0;
	kernel_call(__NR_pidfd_send_signal, h->shown->pidfd, SIGNAL_KILL, 0, 0, 0, 0);
	do /* the kernel writes back what is left of the limit */
		r = kernel_call(__NR_ppoll, (long)&p, 1, (long)limit, 0, 8, 0);
	while (r == -EINTR);
	if (r <= 0)
		return r ? (int)r : -ETIMEDOUT;
	kernel_call(__NR_waitid, P_PIDFD, h->shown->pidfd, (long)&info, WEXITED | WNOHANG, 0, 0);
	let_go(&h->shown->pidfd);
	if (h->shown->first >= 0)
		kernel_call(__NR_waitid, P_PIDFD, h->shown->first, (long)&info, WEXITED | WNOHANG, 0, 0);
	return 0;
}
