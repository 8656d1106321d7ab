/* A learning run: the calls that the container's filter asks about are noted, and answered.
 *
 * What is noted has a bound, whatever the program does: so many numbers, so many
 * arguments and names of each.  What is answered says a second filter, or what
 * the profile says; both are evaluated here as the kernel does. */
#include "host.h"

#include <linux/audit.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/ioctl.h>
#include <linux/seccomp.h>
#include <string.h>

#define POLLIN 1
#define POLLHUP 16
#define AT_ONCE 64 /* answers, before something else has its turn */
#define NAME 16	   /* TASK_COMM_LEN */
#define SIGNAL_KILL 9
#define LAST_ERRNO 4095
#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#else
#define NATIVE AUDIT_ARCH_AARCH64
#endif

/* The action of a filter for one call.  The instructions are those of libseccomp and our own; any other kills. */
static uint32_t verdict(const void *program, size_t size, const struct seccomp_data *data)
{
	const struct sock_filter *code = program;
	size_t count = size / sizeof(*code);
	uint32_t a = 0;

	if (!count)
		return SECCOMP_RET_ALLOW;
	for (size_t at = 0; at < count; at++) {
		uint32_t k = code[at].k;
		int yes;

		switch (code[at].code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (k > sizeof(*data) - sizeof(a))
				return SECCOMP_RET_KILL_PROCESS;
			memcpy(&a, (const char *)data + k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			continue;
		case BPF_RET | BPF_K:
			return k;
		case BPF_JMP | BPF_JA:
			at += k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & k) != 0;
			break;
		default:
			return SECCOMP_RET_KILL_PROCESS;
		}
		at += yes ? code[at].jt : code[at].jf;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* Where calls like this one are noted, or NULL if there is no more room: at three quarters a search stays short. */
static struct asked_call *find(struct asked *asked, const struct seccomp_data *data, uint32_t action)
{
	uint32_t at = ((uint32_t)data->nr * 31 + data->arch + action) % asked->room;

	for (;; at = (at + 1) % asked->room) {
		struct asked_call *c = &asked->call[at];

		if (!c->count) {
			if (asked->used >= asked->room / 4 * 3)
				return NULL;
			asked->used++;
			*c = (struct asked_call){ .number = data->nr, .architecture = data->arch, .action = action };
			return c;
		}
		if (c->number == data->nr && c->architecture == data->arch && c->action == action)
			return c;
	}
}

static int alike(const uint64_t *one, const uint64_t *other, uint32_t mask)
{
	for (int i = 0; i < 6; i++)
		if (mask >> i & 1 && one[i] != other[i])
			return 0;
	return 1;
}

static void note_arguments(struct asked_call *c, const uint64_t *arguments, uint32_t mask)
{
	for (uint32_t i = 0; i < c->arguments; i++)
		if (alike(c->argument[i], arguments, mask))
			return;
	if (c->arguments == sizeof(c->argument) / sizeof(c->argument[0]))
		c->more = 1;
	else
		memcpy(c->argument[c->arguments++], arguments, sizeof(c->argument[0]));
}

/* A file below /proc/PID; how many bytes, 0 if it cannot be read. */
static size_t read_process(struct host_side *h, uint32_t pid, const char *name, char *text, size_t size)
{
	char path[32];
	size_t n = text_number(path, pid, 10);
	long fd, r;

	bytes_copy(path + n, name, text_length(name) + 1);
	fd = kernel_call(__NR_openat, h->shown->questions->proc, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return 0;
	r = kernel_call(__NR_read, fd, (long)text, (long)size, 0, 0, 0);
	quiet_close((int)fd);
	return r < 0 ? 0 : (size_t)r;
}

/* Whether the call still waits: then its thread is the one of that number. */
static int still_asks(struct host_side *h, uint64_t id)
{
	int listener = h->shown->questions->listener;

	return kernel_call(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_ID_VALID, (long)&id, 0, 0, 0) == 0;
}

static void note_program(struct host_side *h, struct asked_call *c, const struct seccomp_notif *q)
{
	char name[NAME] = { 0 };
	size_t n;

	if (c->programs == sizeof(c->program) / sizeof(c->program[0]))
		return;
	n = read_process(h, q->pid, "/comm", name, NAME);
	if (!n || name[n - 1] != '\n' || !still_asks(h, q->id))
		return;
	name[n - 1] = 0;
	for (uint32_t i = 0; i < c->programs; i++)
		if (text_equal(c->program[i], name))
			return;
	memcpy(c->program[c->programs++], name, NAME);
}

/* Ends the process of the thread that asks: its number is in `Tgid:`, the fourth line of the file. */
static void end_process(struct host_side *h, const struct seccomp_notif *q)
{
	char text[512];
	size_t n = read_process(h, q->pid, "/status", text, sizeof(text) - 1), at = 0;
	uint32_t pid = 0;
	long fd;

	text[n] = 0;
	while (at < n && !text_starts(text + at, "\nTgid:\t"))
		at++;
	for (at += 7; at < n && text[at] >= '0' && text[at] <= '9'; at++)
		pid = pid * 10 + (uint32_t)(text[at] - '0');
	fd = pid ? kernel_call(__NR_pidfd_open, pid, 0, 0, 0, 0, 0) : -1;
	if (fd < 0)
		return;
	if (still_asks(h, q->id))
		kernel_call(__NR_pidfd_send_signal, fd, SIGNAL_KILL, 0, 0, 0, 0);
	quiet_close((int)fd);
}

/* One call; 0, or -errno.  Whoever asks may end at any time. */
static int answer_one(struct host_side *h)
{
	struct asked *asked = h->shown->questions;
	/* A later kernel may have more to say. */
	union {
		struct seccomp_notif of;
		char room[512];
	} q;
	struct seccomp_notif_resp r = { 0 };
	struct asked_call *c;
	uint32_t action;
	long result;

	memset(&q, 0, sizeof(q));
	result = sys(&h->x, __NR_ioctl, asked->listener, SECCOMP_IOCTL_NOTIF_RECV, (long)&q, 0, 0, 0);
	if (result < 0)
		return result == -ENOENT || result == -EINTR ? 0 : (int)result;
	c = find(asked, &q.of.data, verdict(asked->profile, asked->profile_size, &q.of.data));
	if (c) {
		c->count++;
		note_arguments(c, (const uint64_t *)q.of.data.args, asked->mask);
		note_program(h, c, &q.of);
	} else
		asked->dropped++;
	action = verdict(asked->answers, asked->answers_size, &q.of.data);
	r.id = q.of.id;
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		break;
	case SECCOMP_RET_ERRNO:
		action &= SECCOMP_RET_DATA;
		r.error = -(int)(action > LAST_ERRNO ? LAST_ERRNO : action);
		break;
	default:
		end_process(h, &q.of);
		r.error = -EPERM; /* for one that could not be ended */
	}
	result = sys(&h->x, __NR_ioctl, asked->listener, SECCOMP_IOCTL_NOTIF_SEND, (long)&r, 0, 0, 0);
	return result < 0 && result != -ENOENT && result != -EINTR ? (int)result : 0;
}

/* The execve by which the program has begun was not asked about.  Where a profile refuses it, it is one of the calls to
 * be told; actions are ordered as signed numbers, and to kill the process is the lowest. */
static void note_start(struct asked *asked)
{
	struct seccomp_data data = { .nr = __NR_execve, .arch = NATIVE };
	uint32_t action = verdict(asked->profile, asked->profile_size, &data);
	struct asked_call *c;

	if (asked->profile_size && (int32_t)(action & SECCOMP_RET_ACTION_FULL) > (int32_t)SECCOMP_RET_ERRNO)
		return;
	c = find(asked, &data, action);
	if (c)
		c->count++;
}

/* Take over the listener. */
int asked_begin(struct host_side *h, int listener)
{
	struct asked *asked = h->shown->questions;
	int fd, r;

	if (asked->listener >= 0 || !asked->room)
		return -EPROTO;
	fd = (int)SYS4(&h->x, __NR_openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = procfs_prove(&h->x, fd);
	if (r < 0) {
		quiet_close(fd);
		return r;
	}
	note_start(asked);
	asked->proc = fd;
	asked->listener = listener;
	return 0;
}

/* Answer what is asked now, up to a number; the listener is closed when nobody is left who could ask. */
int asked_serve(struct host_side *h)
{
	struct asked *asked = h->shown->questions;

	for (int i = 0; i < AT_ONCE; i++) {
		struct poll_words p = { asked->listener, POLLIN, 0 };
		int64_t now[2] = { 0, 0 };
		long n = kernel_call(__NR_ppoll, (long)&p, 1, (long)now, 0, 8, 0);
		int r;

		if (n == 0 || n == -EINTR)
			return 0;
		if (n < 0)
			return (int)n;
		if (!(p.revents & POLLIN)) {
			asked_close(h);
			return 0;
		}
		r = answer_one(h);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What still waits for an answer gets ENOSYS from the kernel. */
void asked_close(struct host_side *h)
{
	if (!h->shown->questions)
		return;
	let_go(&h->shown->questions->listener);
	let_go(&h->shown->questions->proc);
}

/* For a caller that has a loop of its own. */
int ocirun_host_asked(struct host *shown)
{
	return shown->begun && shown->questions && shown->questions->listener >= 0 ? asked_serve(shown->memory) : 0;
}
