/* Between the two halves of the fake kernel: the log and the files. */
#ifndef OCIRUN_RECORD_CALLS_H
#define OCIRUN_RECORD_CALLS_H

#include "record_kernel.h"

/* struct msghdr and what hangs on it, as the executor builds them. */
struct record_io {
	void *base;
	size_t length;
};
struct record_control {
	size_t length;
	int level, type;
	int fd[];
};
struct record_message {
	void *name;
	int name_length;
	struct record_io *io;
	size_t io_count;
	struct record_control *control;
	size_t control_length;
	unsigned flags;
};

/* record_kernel.c */
uint32_t record_chance(uint32_t below); /* 0 unless answers are random */

/* record_table.c */
const char *record_kinds(int nr); /* one letter for each argument; NULL: ocirun has no such call */

/* record_files.c */
int record_refuses(const struct record_call *call, const char *kinds);
long record_behave(const struct record_call *call, const struct record_rule *rule);
long record_new(const struct record_call *call, const struct record_rule *rule, uint32_t mode);
void record_files(uint32_t base, uint32_t inherited);
void record_child(int begins); /* it has descriptors of its own, up to its end */

#endif
