/* Hooks: a child of this process, watched until it ends or its time is over.
 *
 * Its standard input is a memfd, so a hook that does not read cannot block us;
 * its output goes through a pipe of which the tail is kept, or through two where
 * it is written to files too: so the hook, which may be a program of the
 * container, has no file of the host's.  When the hook itself has ended we go
 * on, whoever may still hold the pipes. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/time.h>
#include <linux/wait.h>

#define POLLIN 1

struct time_words {
	int64_t sec, nsec;
};

static long write_all(struct executor *x, int fd, const char *text, size_t n)
{
	while (n > 0) {
		long r = SYS3(x, __NR_write, fd, text, n);

		if (r <= 0)
			return r < 0 ? r : -EIO;
		text += r;
		n -= (size_t)r;
	}
	return 0;
}

/* The state JSON, with our own pid between its two halves if there are two. */
static int make_stdin(struct executor *x, const char *head, const char *tail)
{
	char digits[24];
	long fd = SYS2(x, __NR_memfd_create, "state", MFD_CLOEXEC), r;

	if (fd < 0)
		return (int)fd;
	r = write_all(x, (int)fd, head, text_length(head));
	if (r == 0 && tail) {
		r = write_all(x, (int)fd, digits, text_number(digits, (uint64_t)SYS0(x, __NR_getpid), 10));
		if (r == 0)
			r = write_all(x, (int)fd, tail, text_length(tail));
	}
	if (r == 0)
		r = SYS3(x, __NR_lseek, fd, 0, 0);
	if (r < 0) {
		quiet_close((int)fd);
		return (int)r;
	}
	return (int)fd;
}

struct vector_memory {
	char **pointers;
	size_t bytes;
};

/* argv or envp of a vector, in a mapping of its own. */
static long make_pointers(struct executor *x, const struct plan_vector *v, struct vector_memory *m)
{
	long at;

	m->bytes = ((size_t)v->count + 1) * sizeof(char *);
	at = SYS6(x, __NR_mmap, 0, m->bytes, 3, 0x22, -1, 0); /* READ|WRITE, PRIVATE|ANONYMOUS */
	if (at < 0 && at > -4096)
		return at;
	m->pointers = (char **)at;
	for (uint32_t i = 0; i < v->count; i++)
		m->pointers[i] = (char *)(uintptr_t)plan_text(x, v->offset[i]);
	return 0;
}

static void default_signals(struct executor *x)
{
	uint64_t none = 0;
	long action[4] = { 0, 0, 0, 0 };

	for (int s = 1; s <= 64; s++)
		if (s != 9 && s != 19)
			SYS4(x, __NR_rt_sigaction, s, action, 0, 8);
	SYS4(x, __NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
}

int op_log_hooks(struct executor *x, const struct log_hooks_args *a)
{
	x->hook_log[0] = a->stdout < SLOT_LIMIT ? slot_fd(x, a->stdout) : -1;
	x->hook_log[1] = a->stderr < SLOT_LIMIT ? slot_fd(x, a->stderr) : -1;
	return x->hook_log[0] == -EBADF || x->hook_log[1] == -EBADF ? fault(x, FAULT_PLAN, 0, EINVAL) : 0;
}

/* In the child. */
_Noreturn static void become_hook(struct executor *x, const char *path, const char *cwd, char **argv, char **envp,
				  int in, int out, int err)
{
	long r = SYS0(x, __NR_setsid);
	int apart = err != out;

	if (r >= 0)
		r = SYS2(x, __NR_prctl, PR_SET_PDEATHSIG, 9);
	/* Out of the way first: 0 to 2 may be closed, and then be these very numbers. */
	if (r >= 0)
		in = (int)(r = SYS3(x, __NR_fcntl, in, 1030 /* F_DUPFD_CLOEXEC */, 3));
	if (r >= 0)
		out = (int)(r = SYS3(x, __NR_fcntl, out, 1030, 3));
	if (r >= 0)
		err = apart ? (int)(r = SYS3(x, __NR_fcntl, err, 1030, 3)) : out;
	if (r >= 0)
		r = SYS3(x, __NR_dup3, in, 0, 0);
	if (r >= 0)
		r = SYS3(x, __NR_dup3, out, 1, 0);
	if (r >= 0)
		r = SYS3(x, __NR_dup3, err, 2, 0);
	if (r >= 0 && x->old_umask >= 0)
		r = SYS1(x, __NR_umask, x->old_umask);
	if (r >= 0 && cwd)
		r = SYS1(x, __NR_chdir, cwd);
	if (r >= 0)
		r = SYS3(x, __NR_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
	if (r >= 0) {
		default_signals(x);
		r = seccomp_before_exec(x);
	}
	if (r >= 0)
		r = SYS3(x, __NR_execve, path, argv, envp);
	x->progress->error = (int)-r;
	progress_call(x);
	__atomic_store_n(&x->progress->fault, FAULT_HOOK_EXEC, __ATOMIC_RELEASE);
	kernel_exit(127);
}

/* One piece of a hook's output: 0 at its end, negative if its file does not take it; 1: go on. */
static int take(struct executor *x, int out, int log, int *more)
{
	long n = SYS3(x, __NR_read, out, x->buffer, PATH_LIMIT);

	*more = n > 0;
	if (n <= 0)
		return n == 0 ? 0 : 1;
	progress_output(x, x->buffer, (size_t)n);
	n = log < 0 ? 0 : write_all(x, log, x->buffer, (size_t)n);
	return n < 0 ? (int)n : 1;
}

/* Wait for the hook; its wait status in `status`. */
static int watch(struct executor *x, int pidfd, int pid, int *outs, uint64_t seconds, int *status)
{
	int64_t end = seconds ? time_now(x) + (int64_t)seconds * 1000000000 : 0;
	struct siginfo_words info = { 0 };
	int late = 0, more, failed = 0;
	long r;

	for (;;) {
		struct poll_words p[3] = { { pidfd, POLLIN, 0 }, { outs[0], POLLIN, 0 }, { outs[1], POLLIN, 0 } };
		struct time_words left = { 0, 0 };

		if (end) {
			int64_t rest = end - time_now(x);

			if (rest <= 0) {
				late = 1;
				SYS2(x, __NR_kill, -pid, 9); /* it leads a session and its group */
				SYS4(x, __NR_pidfd_send_signal, pidfd, 9, 0, 0);
				break;
			}
			left.sec = rest / 1000000000;
			left.nsec = rest % 1000000000;
		}
		r = SYS5(x, __NR_ppoll, p, 3, end ? &left : 0, 0, 8);
		if (r < 0 && r != -EINTR)
			return (int)r;
		for (int i = 0; i < 2 && r > 0 && !failed; i++) {
			int found = p[1 + i].revents ? take(x, outs[i], x->hook_log[i], &more) : 1;

			if (found <= 0)
				outs[i] = -1; /* closed; poll ignores it */
			failed = found < 0 ? found : 0;
		}
		if (failed)
			return failed; /* the hook dies with this process */
		if (r > 0 && p[0].revents)
			break;
	}
	for (int i = 0; i < 2; i++) {
		more = outs[i] >= 0;
		for (int n = 0; n < 64 && more; n++) {
			r = take(x, outs[i], x->hook_log[i], &more);
			if (r < 0)
				return (int)r;
		}
	}
	r = SYS5(x, __NR_waitid, 1 /* P_PID */, pid, &info, WEXITED, 0);
	if (r < 0)
		return (int)r;
	*status = info.code == 1 ? info.status << 8 : info.status;
	return late ? fault(x, FAULT_HOOK_TIMEOUT, seconds, ETIMEDOUT) : 0;
}

/* `env` 0: the program's own environment.  Our pid goes between `state_head`
 * and `state_tail`, if there is the latter.  `cwd_timeout` is the text's offset
 * << 32 | seconds (0: no limit). */
int op_run_hook(struct executor *x, const struct run_hook_args *a)
{
	const char *path = plan_text(x, a->path), *head = plan_text(x, a->state_head), *tail = plan_text(x, a->state_tail);
	const char *cwd = plan_text(x, a->cwd_timeout >> 32);
	const struct plan_vector *args = plan_vector(x, a->args), *env = plan_vector(x, a->env);
	struct vector_memory argv = { 0, 0 }, envp = { 0, 0 };
	int apart = x->hook_log[0] >= 0 || x->hook_log[1] >= 0, outs[2];
	int in, ends[4] = { -1, -1, -1, -1 }, pidfd = -1, status = 0, r;
	long pid, action[4] = { 0, 0, 0, 0 };

	if (!path || !args || (!env && (a->env || !x->envp)) || !head)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	x->progress->output_length = 0;
	in = r = make_stdin(x, head, tail);
	if (r >= 0)
		r = (int)SYS2(x, __NR_pipe2, ends, O_CLOEXEC | O_NONBLOCK);
	if (r >= 0)
		r = (int)SYS3(x, __NR_fcntl, ends[1], 4 /* F_SETFL */, 0); /* the hook's end blocks */
	if (r >= 0 && apart)
		r = (int)SYS2(x, __NR_pipe2, ends + 2, O_CLOEXEC | O_NONBLOCK);
	if (r >= 0 && apart)
		r = (int)SYS3(x, __NR_fcntl, ends[3], 4, 0);
	if (r >= 0)
		r = (int)make_pointers(x, args, &argv);
	if (r >= 0 && env)
		r = (int)make_pointers(x, env, &envp);
	/* A caller that ignores SIGCHLD has passed that on, and the kernel would throw the wait status away. */
	if (r >= 0)
		r = (int)SYS4(x, __NR_rt_sigaction, 17 /* SIGCHLD */, action, 0, 8);
	if (r < 0)
		goto out;
	pid = SYS5(x, __NR_clone, CLONE_PIDFD | 17 /* SIGCHLD */, 0, &pidfd, 0, 0);
	if (pid == 0)
		become_hook(x, path, cwd, argv.pointers, env ? envp.pointers : x->envp, in, ends[1],
			    apart ? ends[3] : ends[1]);
	if (pid < 0) {
		r = (int)pid;
		goto out;
	}
	for (int i = 1; i < 4; i += 2) {
		quiet_close(ends[i]);
		ends[i] = -1;
	}
	outs[0] = ends[0];
	outs[1] = ends[2];
	r = watch(x, pidfd, (int)pid, outs, a->cwd_timeout & 0xffffffff, &status);
	if (r == 0 && x->progress->fault == FAULT_HOOK_EXEC)
		r = fault(x, FAULT_HOOK_EXEC, 0, x->progress->error ? x->progress->error : EIO);
	else if (r == 0 && status != 0)
		r = fault(x, FAULT_HOOK_EXIT, (uint64_t)status, ECANCELED);
out:
	quiet_close(in);
	for (int i = 0; i < 4; i++)
		quiet_close(ends[i]);
	quiet_close(pidfd);
	if (argv.pointers)
		kernel_call(__NR_munmap, (long)argv.pointers, (long)argv.bytes, 0, 0, 0, 0);
	if (envp.pointers)
		kernel_call(__NR_munmap, (long)envp.pointers, (long)envp.bytes, 0, 0, 0, 0);
	return r;
}
