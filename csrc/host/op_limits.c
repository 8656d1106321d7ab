/* What is written to the container's cgroups, and to those above. */
#include "host.h"

#include <linux/bpf.h>
#include <linux/fcntl.h>
#include <string.h>

#define FILTER_NAME "ocirun_devices" /* by which an update knows it again: cgroup/files/device_filter.py */

/* A file of a group, in one call, as the kernel expects it. */
int group_write(struct executor *x, int directory, const char *file, const char *text)
{
	int fd = (int)SYS4(x, __NR_openat, directory, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	long r;

	if (fd < 0)
		return fd;
	r = SYS3(x, __NR_write, fd, text, text_length(text));
	quiet_close(fd);
	return r < 0 ? (int)r : 0;
}

int host_write_cgroup(struct host_side *h, const struct write_cgroup_args *a)
{
	struct executor *x = &h->x;
	const char *file = plan_text(x, a->file), *value = plan_text(x, a->value), *path = plan_text(x, a->path);

	if (!file || !value || !path)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	for (uint32_t i = 0; i < h->group_count; i++)
		if (text_equal(h->group[i].path, path) && h->group[i].directory >= 0)
			return group_write(x, h->group[i].directory, file, value);
	return HOST_ASK;
}

/* "+cpu +memory" to a file of an open directory. */
static int switch_on(struct executor *x, int directory, const struct plan_vector *names, uint32_t from, uint32_t to)
{
	size_t n = 0;

	for (uint32_t i = from; i < to; i++) {
		const char *name = plan_text(x, names->offset[i]);
		size_t length = text_length(name);

		if (n + length + 3 > PATH_LIMIT)
			return -E2BIG;
		if (n)
			x->buffer[n++] = ' ';
		x->buffer[n++] = '+';
		bytes_copy(x->buffer + n, name, length);
		n += length;
	}
	x->buffer[n] = 0;
	return n ? group_write(x, directory, "cgroup.subtree_control", x->buffer) : 0;
}

/* Busy, not in the group above, not ours to change: for figures alone the container does without. */
static int is_refused(int r)
{
	return r == -EBUSY || r == -ENOENT || r == -EINVAL || r == -EACCES || r == -EPERM || r == -EOPNOTSUPP;
}

/* In a group above ours, for those below it. */
int host_enable_controllers(struct host_side *h, const struct enable_controllers_args *a)
{
	struct executor *x = &h->x;
	const struct plan_vector *needed = plan_vector(x, a->controllers), *others = plan_vector(x, a->others);
	const char *path = plan_text(x, a->path);
	int fd, r;

	if (!path || !needed || !others)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	if (h->shown->asked)
		return HOST_ASK;
	fd = r = (int)SYS4(x, __NR_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (r >= 0)
		r = switch_on(x, fd, needed, 0, needed->count);
	if (r == 0)
		r = switch_on(x, fd, others, 0, others->count);
	else
		needed = NULL;
	if (needed && is_refused(r)) {
		/* All or none, says the kernel; so one after the other. */
		r = 0;
		for (uint32_t i = 0; i < others->count && r == 0; i++) {
			r = switch_on(x, fd, others, i, i + 1);
			r = is_refused(r) ? 0 : r;
		}
	}
	quiet_close(fd);
	return r;
}

/* Of a group that was made here, which has no other of ours yet. */
int host_filter_devices(struct host_side *h, const struct filter_devices_args *a)
{
	struct executor *x = &h->x;
	const void *program = plan_bytes(x, a->program, a->program_length);
	const char *path = plan_text(x, a->path);
	union bpf_attr attr;
	int directory = -1, fd, r;

	if (!path || !program)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	for (uint32_t i = 0; i < h->group_count; i++)
		if (text_equal(h->group[i].path, path))
			directory = h->group[i].directory;
	if (directory < 0)
		return HOST_ASK;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insn_cnt = (uint32_t)(a->program_length / 8);
	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t)"Apache-2.0";
	bytes_copy(attr.prog_name, FILTER_NAME, sizeof(FILTER_NAME));
	fd = (int)SYS3(x, __NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		return fd;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)directory;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	r = (int)SYS3(x, __NR_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr));
	quiet_close(fd);
	return r < 0 ? r : 0;
}
