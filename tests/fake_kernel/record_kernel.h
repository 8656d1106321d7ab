/* The fake kernel of the tests: every call of the executor, and of the host's side, is written down,
 * answered as a friendly kernel would, and fails where a rule says so.  Plain
 * declarations only, as the tests read them with cffi. */
#ifndef OCIRUN_RECORD_KERNEL_H
#define OCIRUN_RECORD_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum record_outcome {
	RECORD_RETURNED = 0, /* executor_run came back: see status */
	RECORD_EXITED = 1,   /* kernel_exit(status) */
	RECORD_EXECUTED = 2, /* execve went through */
	RECORD_REFUSED = 3,  /* executor_init did not take the plan */
};

struct record_call {
	int nr;
	uint32_t index;	 /* number of the operation in the plan */
	int64_t arg[6];
	int64_t result;
	uint32_t text[6]; /* of each argument: place in the texts + 1, or 0 */
	uint32_t blob[6]; /* of each argument: place in the texts + 1, or 0 */
	uint32_t size[6]; /* of each blob */
};

struct record_rule {
	int nr;		 /* of the call, or -1 for any */
	int index;	 /* of the operation, or -1 for any */
	int skip;	 /* let so many matching calls pass first */
	int times;	 /* then hold for so many, -1 for all */
	const char *text; /* first text among the arguments, or NULL for any */
	int64_t result;	 /* below 0: fails with it; above 0: returns it; 0: as usual, and then: */
	uint32_t mode;	 /* st_mode of the file, or 0 */
	uint32_t major, minor; /* of the device, and of that which the file is on; for recvmsg: what comes along */
	uint32_t inode, links; /* of the file, or 0 */
	int plain;	 /* the file is no root of a mount; for clone: go on in the child */
	const void *data; /* what a read, readlinkat, getdents64, epoll_pwait, a receiving call or mmap gives, once */
	size_t size;
};

void record_begin(const struct record_rule *rules, size_t count, int64_t fail_at, int error);
void record_chaos(uint32_t seed);
int record_run(const void *plan, size_t size, void *progress);
void record_host(const void *progress); /* what follows are calls of the host's side with this record */
int record_status(void);
const struct record_call *record_calls(size_t *count);
const char *record_texts(size_t *size);
const char *record_name(int nr);
int record_is_open(int fd);
int record_next_descriptor(void);
int record_slot(int slot);
int record_wrong_descriptors(void);
int record_mappings(void);

#endif
