/* The streams of the program: made, read, closed. */
#include "host.h"

#include <linux/fcntl.h>
#include <stdlib.h>
#include <string.h>

/* What the program reads, as a file: nobody has to feed it, and it has an end. */
static int input_file(struct host_side *h)
{
	struct executor *x = &h->x;
	const char *input = h->shown->input;
	size_t left = h->shown->input_size;
	long r = SYS2(x, __NR_memfd_create, "stdin", 1 /* MFD_CLOEXEC */);

	if (r < 0)
		return (int)r;
	h->theirs[0] = (int)r;
	while (left) {
		r = SYS3(x, __NR_write, h->theirs[0], input, left);
		if (r < 0)
			return (int)r;
		input += r;
		left -= (size_t)r;
	}
	r = SYS3(x, __NR_lseek, h->theirs[0], 0, 0);
	return r < 0 ? (int)r : 0;
}

static int open_stream(struct host_side *h, int i)
{
	struct executor *x = &h->x;
	int given = h->shown->given[i], ends[2], r;

	if (given >= 0 || given == STREAM_MERGED)
		r = (int)SYS3(x, __NR_fcntl, given >= 0 ? given : h->theirs[1], F_DUPFD_CLOEXEC, 0);
	else if (given == STREAM_NULL || (i == 0 && !h->shown->input_size))
		r = (int)SYS4(x, __NR_openat, AT_FDCWD, "/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC, 0);
	else if (i == 0)
		return input_file(h);
	else {
		r = (int)SYS2(x, __NR_pipe2, ends, O_CLOEXEC);
		if (r < 0)
			return r;
		h->ours[i - 1] = ends[0];
		r = ends[1];
	}
	if (r >= 0)
		h->theirs[i] = r;
	return r < 0 ? r : 0;
}

int host_open_streams(struct host_side *h)
{
	for (int i = 0; i < 3; i++) {
		int r = open_stream(h, i);

		if (r < 0)
			return r;
	}
	for (int i = 0; i < 3; i++)
		h->shown->stdio[i] = h->theirs[i];
	return 0;
}

void streams_close(struct host_side *h)
{
	for (int i = 0; i < 3; i++)
		let_go(&h->theirs[i]);
	for (int i = 0; i < 2; i++)
		let_go(&h->ours[i]);
	let_go(&h->epoll);
	let_go(&h->timer);
	let_go(&h->processor);
}

/* Room for more of what is kept. */
static int grow(struct host_side *h, int number)
{
	struct host_stream *s = &h->shown->output[number];
	int fixed = s->kept == h->first[number];
	size_t all = s->size + (s->size > 2 * CHUNK ? s->size : 2 * CHUNK);
	char *kept = realloc(fixed ? NULL : s->kept, all);

	if (!kept)
		return -ENOMEM;
	if (fixed)
		memcpy(kept, s->kept, s->size);
	s->kept = kept;
	s->room = all;
	return 0;
}

/* Keep what is read up to the limit, and read on, `most` bytes; how many came, 0 at the end of the stream. */
long stream_take(struct host_side *h, int number, size_t most)
{
	struct host_stream *s = &h->shown->output[number];
	size_t room = s->limit - s->size < most ? s->limit - s->size : most;
	char *to;
	long r;

	if (room > s->room - s->size && s->room - s->size < CHUNK / 16) {
		r = grow(h, number);
		if (r < 0)
			return r;
	}
	if (room > s->room - s->size)
		room = s->room - s->size;
	to = room ? s->kept + s->size : h->more[number];
	if (!room)
		room = most < sizeof(h->more[0]) ? most : sizeof(h->more[0]);
	r = SYS3(&h->x, __NR_read, h->ours[number], to, room);
	if (r < 0)
		return r;
	if (h->shown->streamed && r) {
		s->fresh = to;
		s->fresh_size = (size_t)r;
	}
	if (to != h->more[number])
		s->size += (size_t)r;
	else
		s->cut |= r > 0;
	return r;
}
