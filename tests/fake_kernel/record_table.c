/* The table of the calls that the fake kernel has. */
#include "record_calls.h"

#include <asm/unistd.h>

/* d descriptor, f descriptor or AT_FDCWD, s text, x number or pointer of no interest, h struct open_how,
 * 3 32 bytes, 4 24 bytes, 6 16 bytes, 8 8 bytes, n bytes with their length behind, g gids with
 * their number before, a sched_attr, w epoll_event, v vector, m message, p sock_fprog, c what an ioctl points to,
 * e standard stream */
#define CALLS(X) \
	X(bpf, "xnx") X(capget, "8x") X(capset, "84") X(chdir, "s") X(chroot, "s") X(clock_gettime, "xx") \
	X(clone, "xxxxx") X(clone3, "nx") X(close, "d") X(close_range, "xxx") X(dup3, "dxx") X(epoll_create1, "x") \
	X(epoll_ctl, "dxdw") X(epoll_pwait, "dxxxxx") X(execve, "svv") X(execveat, "dsvvx") X(exit_group, "x") \
	X(faccessat2, "fsxx") X(fchdir, "d") X(fchmod, "dx") X(fchown, "dxx") X(fchownat, "fsxxx") X(fcntl, "dxx") \
	X(fgetxattr, "dsxx") X(flock, "dx") X(fsconfig, "dxssx") X(fsmount, "dxx") X(fsopen, "sx") X(fspick, "fsx") \
	X(getrusage, "xx") X(shutdown, "dx") \
	X(fsetxattr, "dsnxx") X(fstatfs, "dx") X(ftruncate, "dx") X(getcwd, "xx") X(getdents64, "dxx") X(geteuid, "") \
	X(getpid, "") X(ioctl, "dxc") X(ioprio_set, "xxx") X(keyctl, "xxx") X(kill, "xx") X(lseek, "dxx") \
	X(memfd_create, "sx") X(mkdirat, "fsx") X(mknodat, "fsxx") X(mmap, "xxxxxx") X(mount, "sssxs") \
	X(mount_setattr, "fsxhx") X(move_mount, "fsfsx") X(munmap, "xx") X(nanosleep, "xx") X(open_tree, "fsx") \
	X(openat, "fsxx") X(openat2, "fshx") X(personality, "x") X(pidfd_open, "xx") X(pidfd_send_signal, "dxxx") \
	X(pipe2, "xx") X(pivot_root, "ss") X(ppoll, "xxxxx") X(prctl, "xxxxx") X(pread64, "dxxx") X(prlimit64, "xx6x") \
	X(pwrite64, "dnxx") X(read, "dxx") X(readlinkat, "fsxx") X(recvfrom, "dxxxxx") X(recvmsg, "dxx") \
	X(renameat, "fsfs") X(rt_sigaction, "xxxx") X(rt_sigprocmask, "x8xx") X(sched_setaffinity, "xxx") \
	X(sched_setattr, "xax") X(seccomp, "xxp") X(sendfile, "ddxx") X(sendmsg, "dmx") X(sendto, "dnxxxx") \
	X(set_mempolicy, "xxx") X(setdomainname, "nx") X(setgroups, "xg") X(sethostname, "nx") X(setns, "dx") \
	X(setpgid, "xx") X(setresgid, "xxx") X(setresuid, "xxx") X(setsid, "") X(setxattr, "ssnxx") \
	X(signalfd4, "xxxx") X(socket, "xxx") X(socketpair, "xxxx") X(statx, "fsxxx") X(symlinkat, "sfs") \
	X(timerfd_create, "xx") X(timerfd_settime, "dx3x") X(umask, "x") X(umount2, "sx") X(unlinkat, "fsx") \
	X(unshare, "x") X(utimensat, "fs3x") X(wait4, "xxxx") X(waitid, "xxxxx") X(write, "dnx")

const char *record_kinds(int nr)
{
	switch (nr) {
#define X(name, kinds)    \
	case __NR_##name: \
		return kinds;
		CALLS(X)
#undef X
	default:
		return NULL;
	}
}

const char *record_name(int nr)
{
	switch (nr) {
#define X(name, kinds)    \
	case __NR_##name: \
		return #name;
		CALLS(X)
#undef X
	default:
		return "";
	}
}
