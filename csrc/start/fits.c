/* Whether the preloaded interpreter may be executed: a part of the launcher,
 * without libc. */
#include "preload.h"

#include "executor.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/resource.h>

/* The directory of the file before, mostly that of the next one too: the way there takes most of the time. */
struct directory {
	const char *path;
	size_t length;
	long fd;
};

/* `found` becomes the directory of `path`; the name of the file in it, or NULL. */
static const char *enter(struct directory *found, const char *path)
{
	static char copy[PATH_LIMIT];
	size_t length = text_length(path);

	while (length > 0 && path[length - 1] != '/')
		length--;
	if (found->fd >= 0 && found->length == length) {
		size_t same = 0;

		while (same < length && found->path[same] == path[same])
			same++;
		if (same == length)
			return path + length;
	}
	if (found->fd >= 0)
		kernel_call(__NR_close, found->fd, 0, 0, 0, 0, 0);
	if (length == 0 || length >= sizeof copy)
		return NULL;
	bytes_copy(copy, path, length);
	copy[length] = 0;
	found->path = path;
	found->length = length;
	found->fd = kernel_call(__NR_openat, AT_FDCWD, (long)copy, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
	return found->fd < 0 ? NULL : path + length;
}

/* Whether a file is the one whose memory was preloaded: 1, 0, or -1 where that cannot be told. */
static int is_unchanged(const struct preload_file *file, struct directory *directory)
{
	const char *name = enter(directory, (const char *)(file + 1));
	struct stat now;
	long error = directory->fd;

	if (name)
		error = kernel_call(__NR_newfstatat, directory->fd, (long)name, (long)&now, 0, 0, 0);
	if (error < 0)
		return error == -ENOENT || error == -ENOTDIR ? 0 : -1;
	return name && now.st_ino == file->inode && (uint64_t)now.st_size == file->size &&
	       (uint64_t)now.st_mtime == file->seconds && (uint64_t)now.st_mtime_nsec == file->nanoseconds;
}

/* Whether a limit of this process leaves room for that much.  Where it does not, execve(2) takes the program and then
 * kills it. */
static int has_room(int which, uint64_t size)
{
	struct rlimit64 limit;

	return kernel_call(__NR_prlimit64, 0, which, 0, (long)&limit, 0, 0) == 0 && limit.rlim_cur >= size + PRELOAD_ROOM;
}

/* Whether this machine is the one that the table tells of, as far as libc and the file go by it. */
static int is_same_machine(const struct preload_table *table, const struct preload_machine *now)
{
	uint32_t processor[PRELOAD_PROCESSOR];

	preload_processor(processor);
	for (int i = 0; i < PRELOAD_PROCESSOR; i++)
		if (processor[i] != table->processor[i])
			return 0;
	return table->hwcap == now->hwcap && table->hwcap2 == now->hwcap2 && table->page == now->page;
}

/* 0, and `why` is a word and what it is about, as far as that goes. */
static int not_so(char *why, const char *word, const char *what)
{
	size_t length = text_length(word), more = text_length(what);

	bytes_copy(why, word, length + 1);
	if (length + more < PATH_LIMIT)
		bytes_copy(why + length, what, more + 1);
	return 0;
}

static int are_unchanged(const struct preload_table *table, char *why)
{
	struct directory directory = {.fd = -1};
	uint64_t at = sizeof *table;

	for (uint64_t i = 0; i < table->count; i++) {
		const struct preload_file *file = (const struct preload_file *)((const char *)table + at);

		if (at + sizeof *file > table->size || file->length > table->size - at - sizeof *file)
			return not_so(why, "+damaged", "");
		int same = is_unchanged(file, &directory);

		if (same != 1)
			return not_so(why, same < 0 ? "untold:" : "+stale:", (const char *)(file + 1));
		at += sizeof *file + file->length;
	}
	return 1;
}

int preload_fits(const char *path, const struct preload_machine *machine, char *why)
{
	static char content[PRELOAD_TABLE_MAX] __attribute__((aligned(8)));
	const struct preload_table *table = (const struct preload_table *)content;
	long fd = kernel_call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	long size;

	if (fd < 0)
		return not_so(why, fd == -ENOENT ? "+absent" : "closed", "");
	size = kernel_call(__NR_pread64, fd, (long)content, sizeof *table, PRELOAD_TABLE, 0, 0);
	if (size == sizeof *table && table->magic == PRELOAD_MAGIC && table->size <= sizeof content)
		size = kernel_call(__NR_pread64, fd, (long)content, (long)table->size, PRELOAD_TABLE, 0, 0);
	kernel_call(__NR_close, fd, 0, 0, 0, 0, 0);
	if (size == 0) /* an empty file, or a note: runtime/ocirun/preload/interpreter.py */
		return not_so(why, "+absent", "");
	if (table->magic != PRELOAD_MAGIC || table->size > sizeof content || size != (long)table->size)
		return not_so(why, "+damaged", "");
	if (!is_same_machine(table, machine))
		return not_so(why, "+machine", "");
	if (!has_room(RLIMIT_AS, table->memory) || !has_room(RLIMIT_DATA, table->data))
		return not_so(why, "memory", "");
	return are_unchanged(table, why);
}
