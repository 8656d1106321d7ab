/* What a program in a sandbox cannot do: each attempt, and the errno that it meets (0: it could). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long result)
{
	printf("%s %d\n", name, result < 0 ? errno : 0);
	fflush(stdout);
}

/* A new process with these flags, or none. */
static long cloned(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	int error = errno;
	if (pid > 0)
		waitpid((pid_t)pid, 0, 0);
	errno = error;
	return pid;
}

static long cloned3(void)
{
	unsigned long long args[8] = { 0, 0, 0, 0, SIGCHLD };
	long pid = syscall(SYS_clone3, args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return pid;
}

static long connected(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	inet_pton(AF_INET, address, &to.sin_addr);
	return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof(to));
}

static long raised(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 1u << CAP_CHOWN, 1u << CAP_CHOWN, 0 } };
	return syscall(SYS_capset, &head, data);
}

int main(void)
{
	tell("write", open("/made", O_WRONLY | O_CREAT, 0600));
	tell("mkdir", mkdir("/etc/made", 0700));
	tell("proc", open("/proc/sys/kernel/hostname", O_WRONLY));
	tell("node", mknod("/tmp/node", S_IFBLK | 0600, 0x100));
	tell("tmp", open("/tmp/made", O_WRONLY | O_CREAT, 0600));
	tell("shm", open("/dev/shm/made", O_WRONLY | O_CREAT, 0600));
	tell("network", connected("192.0.2.1"));
	tell("loopback", connected("127.0.0.1"));
	tell("setuid", setuid(1));
	tell("chown", chown("/tmp/made", 1, 1));
	tell("mount", mount("none", "/tmp", "tmpfs", 0, 0));
	tell("umount", umount2("/proc", MNT_DETACH));
	tell("unshare", unshare(CLONE_NEWNS));
	tell("hostname", sethostname("x", 1));
	tell("chroot", chroot("/tmp"));
	tell("keyctl", syscall(SYS_keyctl, 0, -3, 1));
	tell("bpf", syscall(SYS_bpf, 0, 0, 0));
	tell("userfaultfd", syscall(SYS_userfaultfd, O_NONBLOCK));
	tell("io_uring", syscall(SYS_io_uring_setup, 1, 0));
	tell("unknown family", socket(AF_ALG, SOCK_SEQPACKET, 0));
	tell("clone", cloned(0));
	tell("clone3", cloned3());
	tell("new user namespace", cloned(CLONE_NEWUSER));
	tell("capset", raised()); /* the last, as it gives up all others */
	printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	return 0;
}
