/* The fake kernel behind `kernel_call` in the tests; see record_kernel.h.
 *
 * Descriptors count up from 200 and are never used twice, so that a use after
 * close and a close too many are seen.  A file is a directory unless the call
 * that opens it, or a rule, says otherwise. */
#include "record_kernel.h"
#include "record_calls.h"

#include "executor.h"

#include <linux/eventpoll.h>
#include <linux/sched.h>
#include <linux/stat.h>

/* After linux/stat.h: it leaves out the S_IF words once glibc has been seen. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define CALL_LIMIT 200000
#define TEXT_LIMIT (8u << 20)
#define MAPPING_LIMIT 64

static struct executor executor;
static const struct plan_header *plan; /* of the executor, or NULL */
static const struct progress *progress;
static struct record_call calls[CALL_LIMIT];
static char texts[TEXT_LIMIT];
static void *mappings[MAPPING_LIMIT];
static size_t call_count, text_used;
static struct record_rule rules[64];
static size_t rule_count;
static int64_t fail_number;
static int fail_error, exit_status, next_pid, chaos_on;
static uint32_t chaos_state;
static jmp_buf leave;
static struct {
	int (*run)(void *);
	void *argument;
} thread; /* a second one, which goes when the first waits for a message */

static uint32_t chaos(uint32_t below)
{
	chaos_state = chaos_state * 1664525u + 1013904223u;
	return (chaos_state >> 8) % below;
}

static uint32_t keep(const void *bytes, size_t n)
{
	uint32_t at = (uint32_t)text_used;

	if (text_used + n + 1 > TEXT_LIMIT)
		return 0;
	memcpy(texts + text_used, bytes, n);
	texts[text_used + n] = 0;
	text_used += n + 1;
	return at + 1;
}

static void keep_blob(struct record_call *c, int i, const void *bytes, size_t n)
{
	c->blob[i] = keep(bytes, n);
	c->size[i] = c->blob[i] ? (uint32_t)n : 0;
}

static void keep_vector(struct record_call *c, int i, char **vector)
{
	size_t from = text_used;

	for (; *vector; vector++)
		if (!keep(*vector, strlen(*vector)))
			return;
	if (from == text_used)
		return;
	c->blob[i] = (uint32_t)from + 1;
	c->size[i] = (uint32_t)(text_used - from);
}

/* A message: its bytes, and the descriptor that goes with it in arg[4]. */
static void keep_message(struct record_call *c, int i, const struct record_message *m)
{
	keep_blob(c, i, m->io->base, m->io->length);
	c->arg[4] = m->control && m->control_length >= 20 ? m->control->fd[0] : -1;
}

static void write_down(struct record_call *c, const char *kinds)
{
	for (int i = 0; i < 6 && kinds[i]; i++) {
		void *p = (void *)c->arg[i];

		if (!p)
			continue;
		switch (kinds[i]) {
		case 's':
			c->text[i] = keep(p, strlen(p));
			break;
		case 'h':
			keep_blob(c, i, p, 24);
			break;
		case 'n': /* length in the next argument */
			keep_blob(c, i, p, (size_t)c->arg[i + 1]);
			break;
		case 'g': /* so many 32-bit numbers as the argument before says */
			keep_blob(c, i, p, (size_t)c->arg[i - 1] * 4);
			break;
		case '8':
			keep_blob(c, i, p, 8);
			break;
		case '3': case '4': case '6':
			keep_blob(c, i, p, kinds[i] == '3' ? 32 : kinds[i] == '4' ? 24 : 16);
			break;
		case 'w':
			keep_blob(c, i, p, sizeof(struct epoll_event));
			break;
		case 'a': /* struct sched_attr: its size is its first word */
			keep_blob(c, i, p, 48);
			break;
		case 'c': /* of ioctl(2): what it points to depends on the request */
			if ((unsigned)c->arg[1] == 0xC0182101 /* SECCOMP_IOCTL_NOTIF_SEND */)
				keep_blob(c, i, p, 24);
			break;
		case 'v':
			keep_vector(c, i, p);
			break;
		case 'p': /* struct sock_fprog: so many instructions of eight bytes, and where they are */
			keep_blob(c, i, *(void **)((char *)p + 8), (size_t)*(uint16_t *)p * 8);
			break;
		case 'm':
			keep_message(c, i, p);
			break;
		}
	}
}

static const struct record_rule *find_rule(const struct record_call *c)
{
	const char *first = NULL;

	for (int i = 0; i < 6 && !first; i++)
		if (c->text[i] && texts[c->text[i] - 1])
			first = texts + c->text[i] - 1;
	for (size_t i = 0; i < rule_count; i++) {
		struct record_rule *r = &rules[i];

		if ((r->nr >= 0 && r->nr != c->nr) || (r->index >= 0 && (uint32_t)r->index != c->index))
			continue;
		if ((r->text && (!first || strcmp(r->text, first) != 0)) || r->times == 0)
			continue;
		if (r->skip > 0) {
			r->skip--;
			continue;
		}
		if (r->times > 0)
			r->times--;
		return r;
	}
	return NULL;
}

/* What answers the executor's question depends on the operation that asks. */
static uint32_t wants_descriptor(uint32_t index)
{
	const struct op *ops = plan ? (const void *)((const char *)plan + plan->ops_offset) : NULL;

	for (uint32_t i = 0; plan && i < plan->op_count; i++)
		if (ops[i].index == index)
			return ops[i].code == OP_receive_fd;
	return 0;
}

static long receive(const struct record_call *c, const struct record_rule *r)
{
	struct record_message *m = (void *)c->arg[1];
	struct sync_message answer = { c->index, 0 };
	size_t size = r && r->data ? r->size : sizeof(answer), count = 0, wanted, room = 0;

	memcpy(m->io->base, r && r->data ? r->data : &answer, size < m->io->length ? size : m->io->length);
	if (m->control_length > sizeof(*m->control))
		room = (m->control_length - sizeof(*m->control)) / sizeof(int);
	for (wanted = r && r->data ? r->major : wants_descriptor(c->index); count < wanted && count < room; count++)
		m->control->fd[count] = (int)record_new(c, NULL, S_IFDIR | 0755);
	m->control_length = 0;
	if (count) {
		m->control->length = sizeof(*m->control) + count * sizeof(int);
		m->control->level = m->control->type = 1;
		m->control_length = (m->control->length + 7) & ~7ul;
	}
	return (long)size;
}

static long map_memory(const struct record_call *c, const struct record_rule *r)
{
	for (size_t i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i])
			continue;
		mappings[i] = calloc(1, (size_t)c->arg[1]);
		if (mappings[i] && r && r->data)
			memcpy(mappings[i], r->data, r->size < (size_t)c->arg[1] ? r->size : (size_t)c->arg[1]);
		return mappings[i] ? (long)mappings[i] : -ENOMEM;
	}
	return -ENOMEM;
}

static long unmap(const struct record_call *c)
{
	for (size_t i = 0; i < MAPPING_LIMIT; i++)
		if (mappings[i] && mappings[i] == (void *)c->arg[0]) {
			free(mappings[i]);
			mappings[i] = NULL;
			return 0;
		}
	return -EINVAL;
}

/* `fork_init` asks for no pidfd: it goes on in the child.  A hook's child is another process. */
static long make_process(const struct record_call *c, const struct record_rule *r)
{
	if (!(c->arg[0] & 0x1000 /* CLONE_PIDFD */) || (r && r->plain))
		return 0;
	if (!c->arg[2])
		return -EFAULT;
	*(int *)c->arg[2] = (int)record_new(c, r, S_IFREG);
	return next_pid++;
}

static long start_process(const struct record_call *c, const struct record_rule *r)
{
	const struct clone_args *args = (const void *)c->arg[0];

	if (args->flags & CLONE_PIDFD)
		*(int *)args->pidfd = (int)record_new(c, r, S_IFREG);
	return next_pid++;
}

static long behave(const struct record_call *c, const struct record_rule *r)
{
	switch (c->nr) {
	case __NR_recvmsg:
		return receive(c, r);
	case __NR_mmap:
		return map_memory(c, r);
	case __NR_munmap:
		return unmap(c);
	case __NR_clone:
		return make_process(c, r);
	case __NR_clone3:
		return start_process(c, r);
	case __NR_execve: case __NR_execveat:
		exit_status = 0;
		longjmp(leave, 1 + RECORD_EXECUTED);
	default:
		return record_behave(c, r);
	}
}

long kernel_call(long nr, long a, long b, long c, long d, long e, long f)
{
	static struct record_call spare;
	struct record_call *now;
	int64_t number;
	const struct record_rule *rule;
	const char *kinds = record_kinds((int)nr);
	int (*run)(void *) = nr == __NR_recvmsg ? thread.run : NULL;

	if (run) {
		thread.run = NULL;
		run(thread.argument);
	}
	now = call_count < CALL_LIMIT ? &calls[call_count] : &spare;
	number = (int64_t)call_count;
	*now = (struct record_call){ .nr = (int)nr, .index = progress->index, .arg = { a, b, c, d, e, f } };
	if (call_count < CALL_LIMIT)
		call_count++;
	write_down(now, kinds ? kinds : "");
	rule = number == fail_number ? NULL : find_rule(now); /* what has failed has taken nothing away */
	if (number == fail_number)
		now->result = -fail_error;
	else if (!kinds)
		now->result = -ENOSYS;
	else if (record_refuses(now, kinds))
		now->result = -EBADF;
	else if (chaos_on && nr != __NR_close && nr != __NR_munmap && nr != __NR_mmap && chaos(24) == 0)
		now->result = -(long)(1 + chaos(133));
	else if (rule && rule->result)
		now->result = rule->result;
	else
		now->result = behave(now, rule);
	return now->result;
}

/* As with CLONE_VFORK: the child goes first, in our memory, until it executes a program or returns. */
long kernel_start(const void *args, size_t size, int (*run)(void *), void *argument)
{
	volatile long r = kernel_call(__NR_clone3, (long)args, (long)size, 0, 0, 0, 0);

	if (r < 0)
		return r;
	if (((const struct clone_args *)args)->flags & CLONE_THREAD) {
		thread.run = run;
		thread.argument = argument;
		return r;
	}
	record_child(1);
	if (!setjmp(leave))
		run(argument);
	record_child(0);
	return r;
}

_Noreturn void kernel_exit(int status)
{
	exit_status = status;
	longjmp(leave, 1 + RECORD_EXITED);
}

void record_begin(const struct record_rule *from, size_t count, int64_t fail_at, int error)
{
	rule_count = count < 64 ? count : 64;
	if (rule_count)
		memcpy(rules, from, rule_count * sizeof(*from));
	fail_number = fail_at;
	fail_error = error;
	call_count = text_used = 0;
	thread.run = NULL;
	next_pid = 5000;
	chaos_on = 0;
	for (size_t i = 0; i < MAPPING_LIMIT; i++) {
		free(mappings[i]);
		mappings[i] = NULL;
	}
}

/* Answers at random from now on, the same ones for the same seed. */
void record_chaos(uint32_t seed)
{
	chaos_on = 1;
	chaos_state = seed;
}

void record_host(const void *shown)
{
	plan = NULL;
	progress = shown;
	record_files(3, 0);
}

int record_run(const void *bytes, size_t size, void *shown)
{
	int outcome;

	memset(&executor, 0, sizeof(executor));
	progress = shown;
	exit_status = executor_init(&executor, bytes, size, shown);
	if (exit_status < 0)
		return RECORD_REFUSED;
	plan = executor.plan;
	record_files(executor.plan->fd_base, executor.plan->inherited);
	executor.progress->phase = PHASE_SETUP;
	outcome = setjmp(leave);
	if (outcome)
		return outcome - 1;
	exit_status = executor_run(&executor);
	return RECORD_RETURNED;
}

int record_status(void)
{
	return exit_status;
}

const struct record_call *record_calls(size_t *count)
{
	*count = call_count;
	return calls;
}

const char *record_texts(size_t *size)
{
	if (size)
		*size = text_used;
	return texts;
}

int record_slot(int slot)
{
	return slot >= 0 && slot < SLOT_LIMIT ? executor.slot[slot] : -1;
}

int record_mappings(void)
{
	int count = 0;

	for (size_t i = 0; i < MAPPING_LIMIT; i++)
		count += mappings[i] != NULL;
	return count;
}

uint32_t record_chance(uint32_t below)
{
	return chaos_on ? chaos(below) : 0;
}
