#ifndef OCIRUN_NATIVE_H
#define OCIRUN_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#include "native.cdef.h"

/* What csrc/host calls.  All return -errno on failure. */
struct spawn_request {
	int helper_fd;       /* sealed memfd with the helper */
	uint64_t flags;      /* CLONE_NEW* */
	int cgroup_fd;       /* directory for CLONE_INTO_CGROUP, or -1 */
	const int *inherit;  /* descriptors for the slots, in slot order */
	int inherit_count;
	const int *keep;     /* descriptors from 3 up that the program keeps */
	int keep_count;
	int fd_base;         /* first slot's number in the child */
	int stdio[3];        /* descriptors that become 0, 1, 2; -1: the caller's own */
	int pidfd;           /* out */
	int call;            /* out: number of the failed system call in the child */
};

int ocirun_spawn(struct spawn_request *request);
int ocirun_helper_fd(void);
int ocirun_receive(int socket, void *bytes, size_t size, int *fd, int flags);
int ocirun_sealed_fd(const char *name, const void *bytes, size_t size);

#endif
