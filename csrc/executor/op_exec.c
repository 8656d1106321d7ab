/* The program: its environment, its file, execve. */
#include "executor.h"

#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#define ST_NOEXEC 8 /* statfs(2) */
#define PASSWD_LIMIT (64 << 20) /* bytes of /etc/passwd; a file may be sparse, and without an end */

/* Where a reader is in a line `name:x:UID:gid:gecos:HOME:shell`, which may have any length. */
struct passwd_line {
	unsigned int field;
	int other; /* the line is not the user's, or makes no sense */
	uint64_t uid;
	size_t length; /* of the field: UID or HOME */
};

/* Take one character; 1 at the end of the user's line, with x->home set. */
static int passwd_char(struct executor *x, struct passwd_line *line, char c, uint64_t uid)
{
	if (c == '\n') {
		int found = !line->other && line->field >= 5 && line->length > 0;

		if (found)
			x->home[5 + line->length] = 0;
		*line = (struct passwd_line){ 0 };
		return found;
	}
	if (line->other || line->field > 5)
		return 0;
	if (c == ':') {
		if (line->field == 2 && (line->length == 0 || line->uid != uid))
			line->other = 1;
		if (line->field++ < 5)
			line->length = 0;
	} else if (line->field == 2) {
		if (c < '0' || c > '9' || line->uid > 0xffffffffu)
			line->other = 1;
		line->uid = line->uid * 10 + (uint64_t)(c - '0');
		line->length++;
	} else if (line->field == 5) {
		if (c == 0 || line->length + 6 >= PATH_LIMIT)
			line->other = 1;
		else
			x->home[5 + line->length++] = c;
	}
	return 0;
}

/* An image may have no such file, or something else in its place. */
static int no_passwd(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EACCES || r == -ENXIO || r == -ENODEV;
}

/* HOME for an environment that has none: from the container's /etc/passwd if
 * that is a plain file, else "/". */
int op_find_home(struct executor *x, const struct find_home_args *a)
{
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
				.resolve = RESOLVE_NO_MAGICLINKS };
	struct passwd_line line = { 0 };
	int fd = (int)SYS4(x, __NR_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how));
	struct statx st;
	size_t taken = 0;
	int found = 0;
	long n = 0;

	bytes_copy(x->home, "HOME=/", 7);
	if (fd < 0)
		return no_passwd(fd) ? 0 : fd;
	n = SYS5(x, __NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st);
	if (n == 0 && (st.stx_mode & S_IFMT) == S_IFREG) {
		do {
			n = SYS3(x, __NR_read, fd, x->buffer, PATH_LIMIT);
			for (long i = 0; i < n && !found; i++)
				found = passwd_char(x, &line, x->buffer[i], a->uid);
			taken += n > 0 ? (size_t)n : 0;
		} while (n > 0 && !found && taken < PASSWD_LIMIT);
		if (n > 0 && !found)
			n = -EFBIG;
		else if (n == 0 && !found) /* the last line may end without a newline */
			found = passwd_char(x, &line, '\n', a->uid);
	}
	if (!found)
		bytes_copy(x->home, "HOME=/", 7);
	quiet_close(fd);
	return n < 0 ? (int)n : 0;
}

/* May this process execute `path`?  Asked with the final credentials. */
static int executable(struct executor *x, const char *path)
{
	struct statx st;
	long r = SYS5(x, __NR_statx, AT_FDCWD, path, 0, STATX_TYPE | STATX_MODE, &st);

	if (r < 0)
		return (int)r;
	if ((st.stx_mode & S_IFMT) == S_IFDIR)
		return -EISDIR;
	if ((st.stx_mode & S_IFMT) != S_IFREG)
		return -EACCES;
	return (int)SYS4(x, __NR_faccessat2, AT_FDCWD, path, 1 /* X_OK */, AT_EACCESS);
}

/* Why `path` may not be executed: its mount can forbid it, which the mode does not show. */
static int refusal(struct executor *x, const char *path)
{
	struct statfs_words st = { 0 };
	int fd = (int)kernel_call(__NR_openat, AT_FDCWD, (long)path, O_PATH | O_CLOEXEC, 0, 0, 0);
	long r = kernel_call(__NR_fstatfs, fd, (long)&st, 0, 0, 0, 0);

	quiet_close(fd);
	return r == 0 && st.flags & ST_NOEXEC ? fault(x, FAULT_NOEXEC, 0, EACCES) : -EACCES;
}

static int has_slash(const char *s)
{
	for (; *s; s++)
		if (*s == '/')
			return 1;
	return 0;
}

/* As execvp: an empty element of PATH is the working directory, and a file
 * that may not be executed is remembered while the search goes on. */
static int search(struct executor *x, const char *name, const char *path)
{
	int denied = 0;
	size_t n = text_length(name);

	for (;;) {
		size_t length = 0;

		while (path[length] && path[length] != ':')
			length++;
		if (length + n + 2 <= PATH_LIMIT) {
			size_t at = length;
			int r;

			bytes_copy(x->program, path, length);
			if (length)
				x->program[at++] = '/';
			bytes_copy(x->program + at, name, n + 1);
			r = executable(x, x->program);
			if (r == 0)
				return 0;
			if (r == -EACCES && !denied)
				bytes_copy(x->buffer, x->program, at + n + 1);
			if (r == -EACCES || r == -EISDIR)
				denied = denied ? denied : r;
			else if (r != -ENOENT && r != -ENOTDIR && r != -ELOOP && r != -ENAMETOOLONG)
				return r;
		}
		if (!path[length])
			break;
		path += length + 1;
	}
	if (denied == -EACCES)
		return refusal(x, x->buffer);
	return denied ? -EACCES : fault(x, FAULT_NOT_IN_PATH, 0, ENOENT);
}

/* What comes with the program of a container that was made ahead may have one. */
static int has_home(struct executor *x, const struct plan_vector *env)
{
	for (uint32_t i = 0; i < env->count; i++)
		if (text_starts(plan_text(x, env->offset[i]), "HOME="))
			return 1;
	return 0;
}

static long map_pointers(struct executor *x, size_t count)
{
	return SYS6(x, __NR_mmap, 0, (count + 1) * sizeof(char *), 3, 0x22, -1, 0);
}

/* `search` is PATH.  Everything that execve will need is made now, while
 * errors still reach `create` and no limit holds yet. */
int op_find_program(struct executor *x, const struct find_program_args *a)
{
	const struct plan_vector *args = plan_vector(x, a->args), *env = plan_vector(x, a->env);
	const char *path = plan_text(x, a->search), *name;
	long at;
	int r;

	if (!args || !env || args->count == 0)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	name = plan_text(x, args->offset[0]);
	if (has_slash(name)) {
		if (text_length(name) + 1 > PATH_LIMIT)
			return -ENAMETOOLONG;
		bytes_copy(x->program, name, text_length(name) + 1);
		r = executable(x, x->program);
		if (r == -EACCES)
			r = refusal(x, x->program);
	} else {
		r = *name ? search(x, name, path ? path : "") : -ENOENT;
	}
	if (r < 0)
		return r;
	at = map_pointers(x, args->count);
	if (at < 0 && at > -4096)
		return (int)at;
	x->argv = (char **)at;
	at = map_pointers(x, (size_t)env->count + 1);
	if (at < 0 && at > -4096)
		return (int)at;
	x->envp = (char **)at;
	for (uint32_t i = 0; i < args->count; i++)
		x->argv[i] = (char *)(uintptr_t)plan_text(x, args->offset[i]);
	for (uint32_t i = 0; i < env->count; i++)
		x->envp[i] = (char *)(uintptr_t)plan_text(x, env->offset[i]);
	if (x->home[0] && !has_home(x, env))
		x->envp[env->count] = x->home;
	return 0;
}

/* Nothing of ours survives: descriptors are closed, signals get their default
 * action and are let through, and the program begins. */
int op_execute(struct executor *x)
{
	long action[4] = { 0, 0, 0, 0 };
	uint64_t none = 0;
	long r;

	if (!x->argv || !x->envp)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	/* Close-on-exec first: the start fifo must stay open until execve has
	 * succeeded, as its closing is how `start` learns of it. */
	r = SYS3(x, __NR_close_range, x->plan->keep_fds, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
	if (r < 0)
		return (int)r;
	for (int s = 1; s <= 64; s++)
		if (s != 9 && s != 19)
			SYS4(x, __NR_rt_sigaction, s, action, 0, 8);
	__atomic_store_n(&x->progress->phase, PHASE_RUNNING, __ATOMIC_RELEASE);
	r = SYS4(x, __NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
	if (r == 0)
		r = seccomp_before_exec(x);
	if (r == 0)
		r = SYS6(x, __NR_execve, x->program, x->argv, x->envp, 0, 0, x->token);
	if (x->token) {
		/* Any other call would be asked about, and nobody answers before the program runs. */
		progress_fail(x, (int)-r);
		kernel_call(__NR_exit_group, 1, 0, 0, 0, 0, (long)x->token);
	}
	return (int)r;
}
