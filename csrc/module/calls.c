/* System calls that Python's os module does not have, one line each. */
#define _GNU_SOURCE
#include "native.h"

#include <asm/unistd.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdio.h> /* RENAME_NOREPLACE */
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Of the mount that `fd` is; `userns_fd` counts with MOUNT_ATTR_IDMAP only. */
int ocirun_mount_setattr(int fd, unsigned int flags, uint64_t set, uint64_t propagation, int userns_fd)
{
	struct mount_attr attr = { .attr_set = set, .propagation = propagation, .userns_fd = (uint64_t)userns_fd };
	long r = syscall(__NR_mount_setattr, fd, "", flags | AT_EMPTY_PATH, &attr, sizeof(attr));

	return r < 0 ? -errno : 0;
}

/* `attributes` is a union bpf_attr, of which the kernel reads `size` bytes. */
int ocirun_bpf(int command, void *attributes, unsigned int size)
{
	long r = syscall(__NR_bpf, command, attributes, size);

	return r < 0 ? -errno : (int)r;
}

int ocirun_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { flags | O_CLOEXEC, mode, resolve };
	long r = syscall(__NR_openat2, dirfd, path, &how, sizeof(how));

	return r < 0 ? -errno : (int)r;
}

/* Never takes the place of something that has the name. */
int ocirun_rename_new(int olddir, const char *oldname, int newdir, const char *newname)
{
	return syscall(__NR_renameat2, olddir, oldname, newdir, newname, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* The first `size` bytes of a file, up to its end; how many, -errno. */
static int64_t read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), error = 0;
	size_t taken = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -(int64_t)errno;
	while (n != 0 && !error && taken < size) {
		n = read(fd, buffer + taken, size - taken);
		if (n > 0)
			taken += (size_t)n;
		error = n < 0 && errno != EINTR ? errno : 0;
	}
	close(fd);
	return error ? -(int64_t)error : (int64_t)taken;
}

/* Files one behind the other, in one call: `paths` are texts behind each other.
 * What each has given is in `lengths`; one that fails has its -errno there. */
void ocirun_read_files(const char *paths, unsigned int count, char *buffer, size_t size, int64_t *lengths)
{
	for (unsigned int i = 0; i < count; i++, paths += strlen(paths) + 1) {
		lengths[i] = read_file(paths, buffer, size);
		if (lengths[i] > 0) {
			buffer += lengths[i];
			size -= (size_t)lengths[i];
		}
	}
}

/* The f_type word of statfs(2), such as PROC_SUPER_MAGIC. */
int64_t ocirun_fs_type(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) < 0 ? -(int64_t)errno : (int64_t)st.f_type;
}

int ocirun_set_subreaper(int on)
{
	return prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) < 0 ? -errno : 0;
}

/* 1 when `fd` came to this process through execve: it is open and not
 * close-on-exec.  Whatever the interpreter opened itself is close-on-exec. */
int ocirun_inherited(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* A tmpfs that is mounted nowhere, with MOUNT_ATTR_* and an SELinux context or ""; its descriptor. */
int ocirun_tmpfs(unsigned int attributes, const char *context)
{
	int fs = (int)syscall(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC), r = fs, error;

	if (r >= 0 && *context)
		r = (int)syscall(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "context", context, 0);
	if (r >= 0)
		r = (int)syscall(__NR_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0711", 0);
	if (r >= 0)
		r = (int)syscall(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (r >= 0)
		r = (int)syscall(__NR_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
	error = errno;
	if (fs >= 0)
		close(fs);
	return r < 0 ? -error : r;
}

/* For good; of a process with one thread only, as setns(2) has it. */
int ocirun_enter_user_namespace(int fd)
{
	return syscall(__NR_setns, fd, CLONE_NEWUSER) < 0 ? -errno : 0;
}

int ocirun_umount(const char *path, int flags)
{
	return umount2(path, flags) < 0 ? -errno : 0;
}

/* 1 if the kernel knows a flag of seccomp(2), 0 if not, -errno if it may not be asked.  It looks at the
 * flags before it looks at the filter, and no filter is at NULL. */
int ocirun_seccomp_flag(unsigned int flag)
{
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL) == 0 || errno == EFAULT)
		return 1;
	return errno == EINVAL ? 0 : -errno;
}

/* 1 if open_tree(2) knows OPEN_TREE_NAMESPACE: it looks at the flags, and at our rights, before the descriptor. */
int ocirun_knows_tree_namespace(void)
{
	return syscall(__NR_open_tree, -1, "", 2 /* OPEN_TREE_NAMESPACE */ | AT_EMPTY_PATH) < 0 && errno == EBADF;
}

/* The address of a function of a library that is loaded now if it was not before; NULL if there is none.
 * The library stays loaded. */
void *ocirun_symbol(const char *library, const char *name)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	return handle ? dlsym(handle, name) : NULL;
}

/* The name of a system call that the executor or the host's side makes, or "". */
const char *ocirun_call_name(int nr)
{
	switch (nr) {
#define NAME(call)       \
	case __NR_##call: \
		return #call;
		NAME(bpf) NAME(capget) NAME(capset) NAME(chdir) NAME(chroot) NAME(clone) NAME(clone3)
		NAME(close_range) NAME(dup3) NAME(epoll_create1) NAME(epoll_ctl) NAME(epoll_pwait) NAME(execve)
		NAME(execveat) NAME(faccessat2) NAME(fchdir) NAME(fchmod) NAME(fchown) NAME(fchownat) NAME(fcntl)
		NAME(flock) NAME(fsconfig) NAME(fsetxattr) NAME(fsmount) NAME(fsopen) NAME(fspick) NAME(fstatfs) NAME(ftruncate)
		NAME(getcwd) NAME(getdents64) NAME(ioctl) NAME(ioprio_set) NAME(keyctl) NAME(kill) NAME(lseek)
		NAME(memfd_create) NAME(mkdirat) NAME(mknodat) NAME(mmap) NAME(mount) NAME(mount_setattr)
		NAME(move_mount) NAME(open_tree) NAME(openat) NAME(openat2) NAME(personality) NAME(pidfd_open)
		NAME(pidfd_send_signal) NAME(pipe2) NAME(pivot_root) NAME(ppoll) NAME(prctl) NAME(pread64)
		NAME(prlimit64) NAME(pwrite64) NAME(read) NAME(readlinkat) NAME(recvmsg) NAME(renameat)
		NAME(rt_sigaction) NAME(rt_sigprocmask) NAME(sched_setaffinity) NAME(sched_setattr) NAME(seccomp)
		NAME(sendfile) NAME(sendmsg) NAME(set_mempolicy) NAME(setdomainname) NAME(setgroups)
		NAME(sethostname) NAME(setns) NAME(setpgid) NAME(setresgid) NAME(setresuid) NAME(setsid)
		NAME(setxattr) NAME(signalfd4) NAME(socket) NAME(socketpair) NAME(statx) NAME(symlinkat)
		NAME(timerfd_create) NAME(timerfd_settime) NAME(umount2) NAME(unlinkat) NAME(unshare) NAME(utimensat)
		NAME(waitid) NAME(write) NAME(shutdown)
#undef NAME
	default:
		return "";
	}
}
