/* Preloaded interpreters: written once, executed many times.
 *
 * The file is a program whose segments are the memory of a process at the time
 * of preload_write(): the interpreter with its libraries, its heap and all
 * modules that the commands need.  execve(2) of it is the whole of the start.
 * stage.c has put everything where the kernel will not put anything of its own,
 * and has kept the vDSO away.
 *
 * What a thread has in the kernel and not in memory is asked for when the file
 * is written, and set again first of all in a process that executes it: the
 * thread pointer, the places of the robust list and of the cleared thread id.
 * The program break is another one, so libc's note of it is taken away, and the
 * stack protector gets another value.  Open files, signals and the caller's
 * words are the caller's: see starter.c.
 *
 * The file is for its owner alone, as the hash secret is in it: who knows that
 * can make keys that are slow to look up.
 *
 * Sources: execve(2), set_tid_address(2), set_robust_list(2), arch_prctl(2),
 * PR_GET_TID_ADDRESS(2const), brk(2), elf(5). */
#define _GNU_SOURCE
#define PRELOAD_WRITES
#include "preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <asm/prctl.h>
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

#define PAGE 4096UL
#define LOWEST 0x1000000UL
#define SEGMENTS_MAX 512
#define MAPS_SIZE (256 * 1024)
#define HOLE (64 * 1024UL) /* shorter ones are written */

/* libc's note of the program break. */
extern void *__curbrk __attribute__((weak));
extern void preload_enter(void);
#if !defined(__x86_64__)
/* The stack protector's value, which the loader makes read-only. */
extern unsigned long __stack_chk_guard __attribute__((weak));
#endif

static struct {
	unsigned long thread;
	int *tid;
	void *robust;
	size_t robust_size;
	int guard_writable;
} saved;

static unsigned long touched_offset;

static char maps[MAPS_SIZE];
static Elf64_Phdr segments[SEGMENTS_MAX];
static int segment_count;
static char table[PRELOAD_TABLE_MAX] __attribute__((aligned(8)));

static unsigned long thread_pointer(void)
{
	unsigned long place;

#if defined(__x86_64__)
	syscall(SYS_arch_prctl, ARCH_GET_FS, &place);
#else
	__asm__("mrs %0, tpidr_el0" : "=r"(place));
#endif
	return place;
}

static int save(void)
{
	saved.thread = thread_pointer();
	if (prctl(PR_GET_TID_ADDRESS, &saved.tid) < 0)
		return -errno;
	if (syscall(SYS_get_robust_list, 0, &saved.robust, &saved.robust_size) < 0)
		return -errno;
	return &__curbrk ? 0 : -ENOTSUP;
}

static unsigned long hexadecimal(const char **text)
{
	unsigned long value = 0;

	for (;; (*text)++) {
		char c = **text;

		if (c >= '0' && c <= '9')
			value = value << 4 | (unsigned long)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (unsigned long)(c - 'a' + 10);
		else
			return value;
	}
}

/* The kernel's stack, its vDSO, and the program at the lowest address that has started us (stage.c). */
static int is_left_out(unsigned long start, const char *name)
{
	return (start < LOWEST && *name == '/') || strncmp(name, "[v", 2) == 0 || strcmp(name, "[stack]") == 0;
}

static int read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while ((got = read(fd, maps + size, sizeof maps - 1 - size)) > 0)
		size += (size_t)got;
	close(fd);
	maps[size] = 0;
	return got < 0 || size == sizeof maps - 1 ? -E2BIG : 0;
}

static int add_file(const char *path)
{
	struct preload_table *head = (struct preload_table *)table;
	struct preload_file *file = (struct preload_file *)(table + head->size);
	size_t length = (strlen(path) + 8) & -8UL;
	struct stat now;

	if (head->size + sizeof *file + length > sizeof table)
		return -E2BIG;
	if (stat(path, &now) < 0)
		return -errno;
	*file = (struct preload_file){
		.inode = now.st_ino,
		.size = (uint64_t)now.st_size,
		.seconds = (uint64_t)now.st_mtim.tv_sec,
		.nanoseconds = (uint64_t)now.st_mtim.tv_nsec,
		.length = length,
	};
	strcpy((char *)(file + 1), path);
	head->size += sizeof *file + length;
	head->count++;
	return 0;
}

static int begin_table(char *const *also)
{
	struct preload_table *head = (struct preload_table *)table;

	*head = (struct preload_table){
		.magic = PRELOAD_MAGIC,
		.size = sizeof *head,
		.hwcap = PRELOAD_HWCAP ? getauxval(AT_HWCAP) : 0,
		.hwcap2 = PRELOAD_HWCAP ? getauxval(AT_HWCAP2) : 0,
		.page = getauxval(AT_PAGESZ),
	};
	preload_processor(head->processor);
	for (; *also; also++) {
		int result = add_file(*also);

		if (result < 0)
			return result;
	}
	return 0;
}

static void note_guard(unsigned long start, unsigned long stop, unsigned flags)
{
#if defined(__x86_64__)
	(void)start, (void)stop, (void)flags;
#else
	if (start <= (unsigned long)&__stack_chk_guard && (unsigned long)&__stack_chk_guard < stop)
		saved.guard_writable = flags & PF_W;
#endif
}

/* One line of maps becomes a segment, unless it has no memory of ours. */
static int add_segment(const char *line)
{
	static const char *last = "";
	unsigned long start = hexadecimal(&line), stop = (line++, hexadecimal(&line));
	unsigned flags = (line[1] == 'r' ? PF_R : 0) | (line[2] == 'w' ? PF_W : 0) | (line[3] == 'x' ? PF_X : 0);
	const char *name = line + strlen(line);

	/* After "rw-p 00000000 00:00 0" and blanks. */
	for (int field = 0; field < 4; field++)
		line += strspn(line, " "), line += strcspn(line, " ");
	name = line + strspn(line, " ");
	if (!(flags & PF_R) || is_left_out(start, name))
		return 0;
	if (segment_count == SEGMENTS_MAX)
		return -E2BIG;
	note_guard(start, stop, flags);
	segments[segment_count++] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = flags,
		.p_vaddr = start,
		.p_paddr = start,
		.p_filesz = stop - start,
		.p_memsz = stop - start,
		.p_align = (Elf64_Xword)sysconf(_SC_PAGESIZE),
	};
	((struct preload_table *)table)->memory += stop - start;
	if (flags & PF_W)
		((struct preload_table *)table)->data += stop - start;
	if (*name != '/' || strcmp(name, last) == 0)
		return 0;
	last = name;
	return add_file(name);
}

static int is_zero(const char *page)
{
	for (size_t i = 0; i < PAGE; i += sizeof(uint64_t))
		if (*(const uint64_t *)(page + i))
			return 0;
	return 1;
}

/* Where the next page begins that is all zeros, or that is not. */
static unsigned long next(const Elf64_Phdr *segment, unsigned long at, int zero)
{
	while (at < segment->p_filesz && is_zero((const char *)segment->p_vaddr + at) != zero)
		at += PAGE;
	return at;
}

/* Long stretches of zeros are holes of the file.  The rest is written in pieces as large as can be: they become large
 * pieces of the page cache, which take less time to map. */
static int write_segment(int fd, const Elf64_Phdr *segment)
{
	for (unsigned long at = next(segment, 0, 0), end; at < segment->p_filesz; at = next(segment, end, 0)) {
		const char *from = (const char *)segment->p_vaddr + at;

		for (end = next(segment, at, 1); end < segment->p_filesz; end = next(segment, end, 1)) {
			unsigned long more = next(segment, end, 0);

			if (more - end > HOLE || more == segment->p_filesz)
				break;
			end = more;
		}
		while (from < (const char *)segment->p_vaddr + end) {
			unsigned long done = (unsigned long)from - segment->p_vaddr;
			ssize_t got = pwrite(fd, from, end - done, (off_t)(segment->p_offset + done));

			if (got < 0)
				return -errno;
			from += got;
		}
	}
	return 0;
}

static int write_file(int fd)
{
	unsigned long offset = PRELOAD_SEGMENTS;
	Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = MACHINE,
		.e_version = EV_CURRENT,
		.e_entry = (Elf64_Addr)preload_enter,
		.e_phoff = sizeof header,
		.e_ehsize = sizeof header,
		.e_phentsize = sizeof *segments,
		.e_phnum = (Elf64_Half)segment_count,
	};

	for (int i = 0; i < segment_count; i++) {
		unsigned long into = (unsigned long)preload_touched - segments[i].p_vaddr;

		segments[i].p_offset = offset;
		if (into < segments[i].p_filesz)
			touched_offset = offset + into;
		offset += segments[i].p_filesz;
	}
	if (pwrite(fd, &header, sizeof header, 0) != sizeof header ||
	    pwrite(fd, segments, sizeof *segments * (size_t)segment_count, sizeof header) < 0 ||
	    pwrite(fd, table, ((struct preload_table *)table)->size, PRELOAD_TABLE) < 0)
		return -errno;
	for (int i = 0; i < segment_count; i++) {
		int result = write_segment(fd, segments + i);

		if (result < 0)
			return result;
	}
	return ftruncate(fd, (off_t)offset) < 0 ? -errno : 0;
}

int preload_write(const char *path, char *const *also)
{
	int result = save(), fd;
	char *line = maps, *end;

	_Static_assert(sizeof(Elf64_Ehdr) + sizeof segments <= PRELOAD_TABLE, "the headers are before the table");
	_Static_assert(PRELOAD_TABLE + PRELOAD_TABLE_MAX <= PRELOAD_SEGMENTS, "the table is before the segments");
	if (result < 0 || (result = begin_table(also)) < 0 || (result = read_maps()) < 0)
		return result;
	for (; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		if ((result = add_segment(line)) < 0)
			return result;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (fd < 0)
		return -errno;
	result = write_file(fd);
	return close(fd) < 0 && result == 0 ? -errno : result;
}

unsigned long preload_touched_offset(void)
{
	return touched_offset;
}

/* The value between a function's variables and its return address; no function that has the old one will return.  It is
 * in the thread's head on x86-64, and the loader's own elsewhere.  Its first byte is 0, which ends strings. */
__attribute__((optimize("no-stack-protector"))) static void new_guard(unsigned long random, unsigned long page_size)
{
#if defined(__x86_64__)
	(void)page_size;
	__asm__ volatile("mov %0, %%fs:0x28" : : "r"(random & ~255UL));
#else
	void *page = (void *)((unsigned long)&__stack_chk_guard & -page_size);

	if (!&__stack_chk_guard || (!saved.guard_writable && mprotect(page, page_size, PROT_READ | PROT_WRITE) < 0))
		return;
	__stack_chk_guard = random & ~255UL;
	if (!saved.guard_writable)
		mprotect(page, page_size, PROT_READ);
#endif
}

/* Before there is a thread pointer there is no libc. */
__attribute__((used, optimize("no-stack-protector"))) _Noreturn static void resume(long *stack)
{
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1, **word = envp;
	unsigned long *aux, *random = NULL, page_size = PAGE;
	long result;

#if defined(__x86_64__)
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(saved.thread)
			 : "rcx", "r11", "memory");
#else
	__asm__ volatile("msr tpidr_el0, %0" : : "r"(saved.thread));
#endif
	while (*word)
		word++;
	for (aux = (unsigned long *)(word + 1); aux[0] != AT_NULL; aux += 2)
		if (aux[0] == AT_RANDOM)
			random = (unsigned long *)aux[1];
		else if (aux[0] == AT_PAGESZ)
			page_size = aux[1];
	if (random)
		new_guard(*random, page_size);
	result = syscall(SYS_set_tid_address, saved.tid);
	*saved.tid = (int)result;
	syscall(SYS_set_robust_list, saved.robust, saved.robust_size);
	__curbrk = NULL;
	environ = envp;
	preload_fetch(PRELOAD_ALWAYS);
	preload_continue(argv, envp);
}

/* The kernel enters here with argc at the stack pointer. */
#if defined(__x86_64__)
__asm__(".globl preload_enter\npreload_enter:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall resume\n");
#else
__asm__(".globl preload_enter\npreload_enter:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl resume\n");
#endif
