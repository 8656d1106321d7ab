/* Cgroups, namespaces, ids in a user namespace, and the barriers between the
 * runtime and this process. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/socket.h>

#define CLOSE_RANGE_CLOEXEC_FLAG 4

/* First of all: die with the runtime, be closed to debuggers (or, for id maps
 * that an ordinary user writes, only to those of other users), keep every
 * inherited descriptor out of hooks and of the program, and make modes exact. */
int op_guard(struct executor *x, const struct guard_args *a)
{
	int r = (int)SYS2(x, __NR_prctl, PR_SET_PDEATHSIG, 9);

	x->guarded = 1;
	if (r == 0)
		r = (int)SYS2(x, __NR_prctl, PR_SET_DUMPABLE, !!a->dumpable);
	if (r == 0)
		r = (int)SYS3(x, __NR_close_range, x->plan->fd_base, ~0u, CLOSE_RANGE_CLOEXEC_FLAG);
	if (r < 0)
		return r;
	x->old_umask = (int)SYS1(x, __NR_umask, 0);
	return (int)SYS2(x, __NR_prctl, PR_SET_NAME, "ocirun-init");
}

/* Into the group of a cgroup v1 `tasks` file.  A single thread that moves
 * itself does not take the kernel's global thread-group lock, unlike a write
 * of our pid to cgroup.procs by someone else. */
int op_join_cgroup(struct executor *x, const struct join_cgroup_args *a)
{
	int fd = slot_fd(x, a->slot), r;

	if (fd < 0)
		return fd;
	r = (int)SYS3(x, __NR_write, fd, "0", 1);
	return r < 0 ? r : slot_set(x, a->slot, -1);
}

/* The slot has a namespace or a pidfd. */
int op_join_namespace(struct executor *x, const struct join_namespace_args *a)
{
	int fd = slot_fd(x, a->slot), r;

	if (fd < 0)
		return fd;
	r = (int)SYS2(x, __NR_setns, fd, a->flag);
	return r < 0 || a->keep ? r : slot_set(x, a->slot, -1);
}

int op_unshare(struct executor *x, const struct unshare_args *a)
{
	return (int)SYS1(x, __NR_unshare, a->flags);
}

/* struct msghdr and iovec, as the kernel has them. */
struct io_words {
	void *base;
	size_t length;
};
struct message_words {
	void *name;
	int name_length;
	struct io_words *io;
	size_t io_count;
	void *control;
	size_t control_length;
	unsigned flags;
};
struct control_words {
	size_t length;
	int level, type;
	int fd;
	int pad;
};

/* Send one message, with a descriptor or without. */
int sync_send(struct executor *x, int socket, const void *bytes, size_t n, int fd)
{
	struct io_words io = { (void *)(uintptr_t)bytes, n };
	struct control_words c = { .length = 20, .level = 1 /* SOL_SOCKET */, .type = 1 /* SCM_RIGHTS */, .fd = fd };
	struct message_words h = { .io = &io, .io_count = 1 };
	long r;

	if (fd >= 0) {
		h.control = &c;
		h.control_length = sizeof(c);
	}
	r = SYS6(x, __NR_sendmsg, socket, &h, 0x4000 /* MSG_NOSIGNAL */, 0, 0, x->token);
	return r < 0 ? (int)r : 0;
}

/* Send this operation's number to the runtime. */
int sync_say(struct executor *x, int fd)
{
	struct sync_message m = { .index = x->index };

	return sync_send(x, slot_fd(x, SLOT_SYNC), &m, sizeof(m), fd);
}

/* Wait for the answer.  No answer means that the runtime is gone or gave up:
 * then there is nobody to report to, and this process must not go on. */
int sync_hear(struct executor *x, int *fd)
{
	struct sync_message m = { 0, 0 };
	struct io_words io = { &m, sizeof(m) };
	struct control_words c = { .length = 0, .fd = -1 };
	struct message_words h = { .io = &io, .io_count = 1, .control = &c, .control_length = sizeof(c) };
	long r = SYS3(x, __NR_recvmsg, slot_fd(x, SLOT_SYNC), &h, 0x40000000 /* MSG_CMSG_CLOEXEC */);

	if (r < 0)
		return (int)r;
	if (r != sizeof(m) || m.index != x->index || m.value != 0)
		kernel_exit(1);
	if (h.control_length >= 20 && c.level == 1 && c.type == 1) {
		if (fd)
			*fd = c.fd;
		else
			quiet_close(c.fd);
	}
	return 0;
}

/* Let the runtime run the host operations that stand here. */
int op_sync(struct executor *x)
{
	int r = sync_say(x, -1);

	return r < 0 ? r : sync_hear(x, NULL);
}

/* As sync, and the runtime's answer carries a descriptor. */
int op_receive_fd(struct executor *x, const struct receive_fd_args *a)
{
	int fd = -1, r = sync_say(x, -1);

	if (r == 0)
		r = sync_hear(x, &fd);
	if (r < 0)
		return r;
	return fd < 0 ? -EBADF : slot_set(x, a->slot, fd);
}

/* As sync, and our message carries a descriptor, which is then closed here
 * unless `keep`. */
int op_send_fd(struct executor *x, const struct send_fd_args *a)
{
	int fd = slot_fd(x, a->slot), r;

	if (fd < 0)
		return fd;
	r = sync_say(x, fd);
	if (r == 0)
		r = sync_hear(x, NULL);
	return r < 0 || a->keep ? r : slot_set(x, a->slot, -1);
}

/* `flags` are the CLONE_NEW flags for the child.  A pid or time namespace
 * holds for children only, so go on in one.  CLONE_PARENT makes it the
 * runtime's own child, to be waited for like any other; its pid goes to the
 * runtime. */
int op_fork_init(struct executor *x, const struct fork_init_args *a)
{
	long pid = SYS5(x, __NR_clone, a->flags | CLONE_PARENT | 17 /* SIGCHLD */, 0, 0, 0, 0);

	if (pid < 0)
		return (int)pid;
	if (pid > 0) {
		struct sync_message m = { .index = x->index, .value = (uint32_t)pid };
		struct io_words io = { &m, sizeof(m) };
		struct message_words h = { .io = &io, .io_count = 1 };

		kernel_call(__NR_sendmsg, slot_fd(x, SLOT_SYNC), (long)&h, 0x4000, 0, 0, 0);
		kernel_exit(0);
	}
	/* The death signal is not inherited. */
	pid = SYS2(x, __NR_prctl, PR_SET_PDEATHSIG, 9);
	return pid < 0 ? (int)pid : sync_hear(x, NULL);
}

/* After the id maps are written: root of the user namespace, no groups of the host. */
int op_become_root(struct executor *x, const struct become_root_args *a)
{
	int r = (int)SYS3(x, __NR_setresgid, 0, 0, 0);

	if (r == 0)
		r = (int)SYS3(x, __NR_setresuid, 0, 0, 0);
	if (r == 0 && a->drop_groups)
		r = (int)SYS2(x, __NR_setgroups, 0, 0);
	/* A change of ids resets both. */
	if (r == 0)
		r = (int)SYS2(x, __NR_prctl, PR_SET_DUMPABLE, 0);
	if (r == 0)
		r = (int)SYS2(x, __NR_prctl, PR_SET_PDEATHSIG, 9);
	return r;
}

int op_set_hostname(struct executor *x, const struct set_hostname_args *a)
{
	const char *name = plan_text(x, a->name);

	return name ? (int)SYS2(x, __NR_sethostname, name, text_length(name)) : fault(x, FAULT_PLAN, 0, EINVAL);
}

int op_set_domainname(struct executor *x, const struct set_domainname_args *a)
{
	const char *name = plan_text(x, a->name);

	return name ? (int)SYS2(x, __NR_setdomainname, name, text_length(name)) : fault(x, FAULT_PLAN, 0, EINVAL);
}

int op_new_session(struct executor *x)
{
	long r = SYS0(x, __NR_setsid);

	return r < 0 ? (int)r : 0;
}

/* A session keyring of our own, so that the caller's keys stay the caller's.
 * The name is joined first with no name: a keyring that somebody else made
 * under the predictable name must not be taken. */
int op_join_keyring(struct executor *x, const struct join_keyring_args *a)
{
	const char *name = plan_text(x, a->name);
	long ring;

	if (!name)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	ring = SYS2(x, __NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
	if (ring < 0)
		return (int)ring;
	ring = SYS2(x, __NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
	if (ring == -EACCES || ring == -EPERM)
		return 0; /* the anonymous ring just joined serves */
	if (ring < 0)
		return (int)ring;
	/* possessor: all; user: view, read, search; so that exec can join it */
	ring = SYS3(x, __NR_keyctl, KEYCTL_SETPERM, ring, 0x3f000000 | 0x000b0000);
	return ring < 0 ? (int)ring : 0;
}

/* A new network namespace has its loopback device down.  Any socket takes the request. */
int op_loopback_up(struct executor *x)
{
	struct {
		char name[16];
		short flags;
		char rest[22];
	} request = { "lo", 0, { 0 } };
	int fd = (int)SYS3(x, __NR_socket, 1 /* AF_UNIX */, 2 | 02000000 /* SOCK_DGRAM | SOCK_CLOEXEC */, 0), r;

	if (fd < 0)
		return fd;
	r = (int)SYS3(x, __NR_ioctl, fd, 0x8913 /* SIOCGIFFLAGS */, &request);
	request.flags |= 1; /* IFF_UP */
	if (r == 0)
		r = (int)SYS3(x, __NR_ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &request);
	quiet_close(fd);
	return r;
}

/* `detach`: close the socket afterwards.  Everything is set up; the runtime
 * records it and sets what only it may set.  From here on we outlive the
 * runtime. */
int op_ready(struct executor *x, const struct ready_args *a)
{
	int r;

	__atomic_store_n(&x->progress->phase, PHASE_CREATED, __ATOMIC_RELEASE);
	r = sync_say(x, -1);
	if (r == 0)
		r = sync_hear(x, NULL);
	if (r < 0)
		return r;
	x->guarded = 0;
	r = (int)SYS2(x, __NR_prctl, PR_SET_PDEATHSIG, 0);
	if (r == 0 && a->detach)
		r = slot_set(x, SLOT_SYNC, -1);
	return r;
}

/* The slot has the start fifo (or the sync socket).  One byte is the word;
 * eight more are how many milliseconds the program may take. */
int op_wait_start(struct executor *x, const struct wait_start_args *a)
{
	char word[1 + sizeof(x->lifetime)] = { 0 };
	int fd = slot_fd(x, a->slot);
	long r = fd < 0 ? fd : SYS3(x, __NR_read, fd, word, sizeof(word));

	if (r < 0)
		return (int)r;
	if (word[0] != 's')
		kernel_exit(1);
	if (r == sizeof(word))
		bytes_copy(&x->lifetime, word + 1, sizeof(x->lifetime));
	__atomic_store_n(&x->progress->phase, PHASE_STARTING, __ATOMIC_RELEASE);
	return 0;
}
