/* What a process is: limits, credentials, scheduling, directory. */
#include "executor.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/prctl.h>

/* A `umask` of 0x10000 is the caller's. */
int op_set_umask(struct executor *x, const struct set_umask_args *a)
{
	uint64_t mask = a->umask;

	if (mask > 0777)
		mask = x->old_umask < 0 ? 022 : (uint64_t)x->old_umask;
	SYS1(x, __NR_umask, mask);
	return 0;
}

int op_no_new_privs(struct executor *x)
{
	return (int)SYS5(x, __NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_set_scheduler(struct executor *x, const struct set_scheduler_args *a)
{
	const void *attr = plan_bytes(x, a->attr, a->attr_length);

	/* 48 bytes, SCHED_ATTR_SIZE_VER0, is the least that the kernel reads. */
	if (!attr || a->attr_length < 48)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	return (int)SYS3(x, __NR_sched_setattr, 0, attr, 0);
}

/* `which` is one of IOPRIO_WHO_. */
int op_set_io_priority(struct executor *x, const struct set_io_priority_args *a)
{
	return (int)SYS3(x, __NR_ioprio_set, a->which, 0, a->priority);
}

int op_set_personality(struct executor *x, const struct set_personality_args *a)
{
	long r = SYS1(x, __NR_personality, a->persona);

	return r < 0 ? (int)r : 0;
}

/* The caller may have pinned itself; the container starts on all processors
 * that its cpuset allows.  The kernel cuts the mask down to those. */
int op_reset_affinity(struct executor *x)
{
	for (size_t i = 0; i < 1024; i++)
		x->buffer[i] = (char)0xff;
	return (int)SYS3(x, __NR_sched_setaffinity, 0, 1024, x->buffer);
}

/* `mask` is a cpu_set_t. */
int op_set_affinity(struct executor *x, const struct set_affinity_args *a)
{
	const void *mask = plan_bytes(x, a->mask, a->mask_length);

	return mask ? (int)SYS3(x, __NR_sched_setaffinity, 0, a->mask_length, mask) : fault(x, FAULT_PLAN, 0, EINVAL);
}

/* `mode` has the flags too; `nodes` is a bit set. */
int op_set_memory_policy(struct executor *x, const struct set_memory_policy_args *a)
{
	const void *nodes = plan_bytes(x, a->nodes, a->nodes_length);

	if (a->nodes_length && !nodes)
		return fault(x, FAULT_PLAN, 1, EINVAL);
	/* The kernel counts one bit less than it is told. */
	return (int)SYS3(x, __NR_set_mempolicy, a->mode, nodes, a->nodes_length ? a->nodes_length * 8 + 1 : 0);
}

int op_set_rlimit(struct executor *x, const struct set_rlimit_args *a)
{
	uint64_t limit[2] = { a->soft, a->hard };

	return (int)SYS4(x, __NR_prlimit64, 0, a->resource, limit, 0);
}

/* `last` is the number of the last capability that the kernel knows. */
int op_drop_bounding(struct executor *x, const struct drop_bounding_args *a)
{
	for (uint64_t cap = 0; cap <= a->last && cap < 64; cap++) {
		long r;

		if (a->keep >> cap & 1)
			continue;
		r = SYS2(x, __NR_prctl, PR_CAPBSET_DROP, cap);
		if (r < 0 && r != -EINVAL)
			return (int)r;
	}
	return 0;
}

int op_set_groups(struct executor *x, const struct set_groups_args *a)
{
	const void *gids = plan_bytes(x, a->gids, a->gids_count * 4);

	if (a->gids_count > 65536 || (a->gids_count && !gids))
		return fault(x, FAULT_PLAN, 0, EINVAL);
	return (int)SYS2(x, __NR_setgroups, a->gids_count, gids);
}

/* Capabilities are kept across the change; set_capabilities comes next and
 * says which ones remain. */
int op_set_ids(struct executor *x, const struct set_ids_args *a)
{
	int r = (int)SYS2(x, __NR_prctl, PR_SET_KEEPCAPS, 1);

	if (r == 0)
		r = (int)SYS3(x, __NR_setresgid, a->gid, a->gid, a->gid);
	if (r == 0)
		r = (int)SYS3(x, __NR_setresuid, a->uid, a->uid, a->uid);
	if (r == 0)
		r = (int)SYS2(x, __NR_prctl, PR_SET_DUMPABLE, 0);
	if (r == 0 && x->guarded)
		r = (int)SYS2(x, __NR_prctl, PR_SET_PDEATHSIG, 9);
	return r;
}

static int set_caps(struct executor *x, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};

	return (int)SYS2(x, __NR_capset, &header, data);
}

/* An ambient capability that the kernel refuses is reported as a warning, as
 * the OCI spec asks. */
int op_set_capabilities(struct executor *x, const struct set_capabilities_args *a)
{
	int r = (int)SYS5(x, __NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

	if (r == 0)
		r = set_caps(x, a->effective, a->permitted, a->inheritable);
	if (r == 0)
		r = (int)SYS2(x, __NR_prctl, PR_SET_KEEPCAPS, 0);
	for (unsigned cap = 0; cap < 64 && r == 0; cap++) {
		if (!(a->ambient >> cap & 1))
			continue;
		if (SYS5(x, __NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0) {
			x->progress->warnings |= WARN_AMBIENT;
			x->progress->warn_detail |= 1ull << cap;
		}
	}
	return r;
}

/* `tolerate`: a refusal is no failure.  Tried before the change of ids, as the
 * user may be somebody whom the directory is closed to; only where it is
 * closed to root (a network file system), the try after the change of ids
 * counts.  No magic links: the path must not name one of our descriptors. */
int op_change_dir(struct executor *x, const struct change_dir_args *a)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	const char *path = plan_text(x, a->path);
	int fd, r;

	if (!path)
		return fault(x, FAULT_PLAN, 0, EINVAL);
	if (x->arrived)
		return 0;
	fd = (int)SYS4(x, __NR_openat2, AT_FDCWD, path, &how, sizeof(how));
	r = fd < 0 ? fd : (int)SYS1(x, __NR_fchdir, fd);
	quiet_close(fd);
	if ((r == -EACCES || r == -EPERM) && a->tolerate)
		return 0;
	if (r < 0)
		return r;
	/* "(unreachable)/..." is what the kernel says of a directory outside our root. */
	r = (int)SYS2(x, __NR_getcwd, x->buffer, PATH_LIMIT);
	if (r < 0)
		return r;
	if (x->buffer[0] != '/')
		return fault(x, FAULT_OUTSIDE_ROOT, 0, ENOENT);
	x->arrived = 1;
	return 0;
}
