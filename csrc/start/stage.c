/* Starts a program at addresses that a later process can have as well.
 *
 *   stage PROGRAM ARGUMENTS...
 *
 * The kernel chooses other addresses for each process, and gives each a vDSO at
 * one of them.  What preload.c writes has to find its memory where it was, and
 * the vDSO is elsewhere then.  So this program, static and without libc, gives
 * up randomization (personality(2)), maps the program's loader itself, makes it
 * a stack at a place of its own, and leaves the vDSO out of what the loader is
 * told (getauxval(3)); libc makes system calls then.  The loader does the rest,
 * as when it is called by name (ld.so(8)). */
#include "executor.h"

#include <elf.h>
#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/personality.h>

/* Between what the kernel places low and the mappings, which begin at a third or, on arm64, a quarter of the addresses.
 * There they may be 39 bits only. */
#if defined(__x86_64__)
#define STACK_PLACE 0x20000000000UL
#define LOADER_PLACE 0x21000000000UL
#else
#define STACK_PLACE 0x1000000000UL
#define LOADER_PLACE 0x1100000000UL
#endif
#define STACK_SIZE (1UL << 20)
#define FIXED (ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT)
#define HEADERS_MAX 32
#define AUXILIARY_MAX 64

static unsigned long page = 4096; /* 16 or 64 KiB on some kernels of arm64 */

_Noreturn static void fail(const char *what)
{
	kernel_call(__NR_write, 2, (long)"stage: ", 7, 0, 0, 0);
	kernel_call(__NR_write, 2, (long)what, (long)text_length(what), 0, 0, 0);
	kernel_call(__NR_write, 2, (long)"\n", 1, 0, 0, 0);
	kernel_exit(1);
}

static long map(unsigned long place, unsigned long size, int access, int how, int fd, unsigned long offset)
{
	return kernel_call(__NR_mmap, (long)place, (long)size, access, how, fd, (long)offset);
}

static int access_of(Elf64_Word flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static void map_segment(int fd, const Elf64_Phdr *segment)
{
	unsigned long start = LOADER_PLACE + segment->p_vaddr, begin = start & -page;
	unsigned long file_end = start + segment->p_filesz, end = start + segment->p_memsz;
	unsigned long mapped = (file_end + page - 1) & -page;

	if (map(begin, file_end - begin, access_of(segment->p_flags), MAP_PRIVATE | MAP_FIXED, fd,
		segment->p_offset & -page) < 0)
		fail("cannot map the loader");
	if (segment->p_flags & PF_W)
		for (unsigned long at = file_end; at < mapped; at++)
			*(char *)at = 0;
	if (end > mapped && map(mapped, end - mapped, access_of(segment->p_flags),
				MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) < 0)
		fail("cannot map the loader");
}

static Elf64_Phdr segments[HEADERS_MAX];

/* Opens a program and reads its headers into `header` and `segments`. */
static int open_program(const char *path, Elf64_Ehdr *header)
{
	long fd = kernel_call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	unsigned long size;

	if (fd < 0 || kernel_call(__NR_pread64, fd, (long)header, sizeof *header, 0, 0, 0) != sizeof *header)
		fail("cannot read the program");
	size = header->e_phnum * sizeof *segments;
	if (header->e_phnum > HEADERS_MAX ||
	    kernel_call(__NR_pread64, fd, (long)segments, (long)size, (long)header->e_phoff, 0, 0) != (long)size)
		fail("the program's headers are odd");
	return (int)fd;
}

static const char *loader_of(const char *program)
{
	static char path[PATH_LIMIT];
	Elf64_Ehdr header;
	int fd = open_program(program, &header);

	for (int i = 0; i < header.e_phnum; i++) {
		long size = (long)segments[i].p_filesz;

		if (segments[i].p_type != PT_INTERP || size >= PATH_LIMIT)
			continue;
		if (kernel_call(__NR_pread64, fd, (long)path, size, (long)segments[i].p_offset, 0, 0) != size)
			break;
		kernel_call(__NR_close, fd, 0, 0, 0, 0, 0);
		return path;
	}
	fail("the program has no loader");
}

/* Maps the loader at LOADER_PLACE; its headers are its first bytes. */
static void map_loader(const char *path, Elf64_Ehdr *header)
{
	int fd = open_program(path, header);

	for (int i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD)
			map_segment(fd, segments + i);
	kernel_call(__NR_close, fd, 0, 0, 0, 0, 0);
}

/* What the kernel told us, with the loader in our place and no vDSO. */
static unsigned long told(unsigned long kind, unsigned long value, const Elf64_Ehdr *loader, char **text)
{
	unsigned long length;

	switch (kind) {
	case AT_PHDR:
		return LOADER_PLACE + loader->e_phoff;
	case AT_PHNUM:
		return loader->e_phnum;
	case AT_BASE:
		return 0;
	case AT_ENTRY:
		return LOADER_PLACE + loader->e_entry;
	case AT_RANDOM:
	case AT_PLATFORM:
	case AT_BASE_PLATFORM:
	case AT_EXECFN:
		/* Pointers to the kernel's stack, which will not be there. */
		length = kind == AT_RANDOM ? 16 : text_length((char *)value) + 1;
		*text -= length;
		bytes_copy(*text, (char *)value, length);
		return (unsigned long)*text;
	default:
		return value;
	}
}

static char *keep(char **text, const char *word)
{
	size_t length = text_length(word) + 1;

	*text -= length;
	bytes_copy(*text, word, length);
	return *text;
}

__attribute__((used)) _Noreturn static void begin(long *given)
{
	long argc = given[0], count = 0, n = 0;
	char **argv = (char **)(given + 1), **envp = argv + argc + 1;
	char *text = (char *)(STACK_PLACE + STACK_SIZE);
	unsigned long *aux, *stack;
	static unsigned long auxiliary[2 * AUXILIARY_MAX];
	static Elf64_Ehdr loader;
	long kept = 0;

	if (argc < 2)
		fail("usage: stage PROGRAM ARGUMENTS...");
	if ((kernel_call(__NR_personality, 0xffffffff, 0, 0, 0, 0, 0) & FIXED) != FIXED) {
		kernel_call(__NR_personality, PER_LINUX | FIXED, 0, 0, 0, 0, 0);
		kernel_call(__NR_execve, (long)"/proc/self/exe", (long)argv, (long)envp, 0, 0, 0);
		fail("cannot start again");
	}
	while (envp[count])
		count++;
	for (aux = (unsigned long *)(envp + count + 1); aux[0] != AT_NULL; aux += 2)
		if (aux[0] == AT_PAGESZ)
			page = aux[1];
	argv[0] = (char *)loader_of(argv[1]);
	map_loader(argv[0], &loader);
	if (map(STACK_PLACE, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) < 0)
		fail("cannot map a stack");
	for (aux = (unsigned long *)(envp + count + 1); aux[0] != AT_NULL; aux += 2) {
		if (aux[0] == AT_SYSINFO_EHDR || kept == AUXILIARY_MAX - 1)
			continue;
		auxiliary[2 * kept] = aux[0];
		auxiliary[2 * kept + 1] = told(aux[0], aux[1], &loader, &text);
		kept++;
	}
	kept++; /* AT_NULL */

	/* The texts of the words grow down towards the pointers to them. */
	stack = (unsigned long *)(((unsigned long)text & -64UL) - STACK_SIZE / 2);
	stack[n++] = (unsigned long)argc;
	for (long i = 0; i < argc; i++)
		stack[n++] = (unsigned long)keep(&text, argv[i]);
	stack[n++] = 0;
	for (long i = 0; i < count; i++)
		stack[n++] = (unsigned long)keep(&text, envp[i]);
	stack[n++] = 0;
	bytes_copy(stack + n, auxiliary, (size_t)kept * 16);

#if defined(__x86_64__)
	__asm__ volatile("mov %0, %%rsp\n\txor %%edx, %%edx\n\tjmp *%1"
			 :
			 : "r"(stack), "r"(LOADER_PLACE + loader.e_entry)
			 : "rdx", "memory");
#else
	__asm__ volatile("mov sp, %0\n\tmov x0, #0\n\tbr %1"
			 :
			 : "r"(stack), "r"(LOADER_PLACE + loader.e_entry)
			 : "x0", "memory");
#endif
	__builtin_unreachable();
}

/* The kernel enters here with argc at the stack pointer. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl begin\n");
#endif
