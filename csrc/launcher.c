/* The program `ocirun`: starts CPython for the command line.
 *
 * A script of a wheel cannot ask for `python -I -S` (pip rewrites its first
 * line), and the interpreter reads LD_* and locale variables before any Python
 * code runs.  So this small program without libc goes first.  It
 *   - puts /dev/null on descriptors 0 to 2 that the caller left closed, so
 *     that no file opened later becomes somebody's standard error,
 *   - finds the installation it belongs to, from its own path,
 *   - keeps LD_* and LC_ALL away from the interpreter and its loader by another
 *     first letter of their names, which boot.py takes back.  They stay in the
 *     environment, as anybody may read a process's arguments,
 *   - replaces itself by the preloaded interpreter beside the package, if there
 *     is one that fits (start/preload.h); else by the starter (start/starter.c);
 *     or where that or the interpreter's library is missing by `python -I -S -B`:
 *     no PYTHON* variable, no current directory, no user directory, no .pth
 *     file, no bytecode written,
 *   - tells what it becomes why that is not the preloaded interpreter, in a word
 *     (runtime/ocirun/preload/missing.py has them) with a "+" where making it would help.
 *
 * Being static, it has no dynamic loader of its own that LD_LIBRARY_PATH (which
 * containerd ends in ":", the current directory) could mislead.
 *
 * Compiled for one interpreter, as the module `_native` is:
 *   PYTHON         its file name, "python3.11"
 *   EXT_SUFFIX     the end of its extension modules' names
 *   INTERPRETER    its path at build time
 *   PREFIX         that of its installation, not of a virtual environment
 *   LIBRARY        that of its shared library, "" if it has none
 *   LANDMARK       that of a file of its standard library
 *   LIBRARY_NAME   the library's file name, "libpython3.11.so.1.0"
 *   MULTIARCH      its directory below lib on some distributions, "x86_64-linux-gnu"
 *   PRELOAD_NAME, START_NAME, PACK_NAME   files beside the package's modules
 *   SOURCE_TREE    only in a checkout: the directory that holds the package
 *   START_TREE     there: the directory of these files */
#include "executor.h"

#include "boot.h" /* what the interpreter runs first, and what it makes of the arguments */

#include "start/preload.h"

#include <linux/auxvec.h>
#include <linux/fcntl.h>

#define FAILURE 1
#define TREES_MAX 4

struct start {
	long argc;
	char **argv;
	char **envp;
	const char *exec_name;	/* AT_EXECFN */
	struct preload_machine machine;
};

static char program[PATH_LIMIT];   /* this file */
static char self[PATH_LIMIT];	   /* the same; then its bin directory */
static char prefix[PATH_LIMIT];	   /* the directory above that */
static char candidate[PATH_LIMIT]; /* an interpreter or a file looked for */
static char built_prefix[PATH_LIMIT];
static char trees[TREES_MAX][PATH_LIMIT]; /* what is added to sys.path */
static char search[PATH_LIMIT];		  /* "LD_LIBRARY_PATH=" for the starter, where its own directories are not it */
static char preloaded[PATH_LIMIT], starter[PATH_LIMIT], pack[PATH_LIMIT];
static char why[PATH_LIMIT]; /* what the interpreter is told of the preloaded one */
static size_t tree_count;

_Noreturn static void fail(const char *what, const char *which)
{
	const char *part[] = {"ocirun: ", what, which, "\n"};
	char line[2 * PATH_LIMIT];
	size_t n = 0;

	for (size_t i = 0; i < 4; i++) {
		size_t length = text_length(part[i]);

		if (n + length > sizeof line)
			break;
		bytes_copy(line + n, part[i], length);
		n += length;
	}
	kernel_call(__NR_write, 2, (long)line, (long)n, 0, 0, 0);
	kernel_exit(FAILURE);
}

/* out = a + b + c; 0 when that is longer than a path may be */
static int join(char *out, const char *a, const char *b, const char *c)
{
	size_t la = text_length(a), lb = text_length(b), lc = text_length(c);

	if (la + lb + lc >= PATH_LIMIT)
		return 0;
	bytes_copy(out, a, la);
	bytes_copy(out + la, b, lb);
	bytes_copy(out + la + lb, c, lc + 1);
	return 1;
}

/* "/usr/bin/x" -> "/usr/bin"; "/x" -> "" (which stands for the root); 0 without a slash */
static int cut_last(char *path)
{
	size_t n = text_length(path);

	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n == 0)
		return 0;
	path[n - 1] = 0;
	return 1;
}

static int exists(const char *path)
{
	return kernel_call(__NR_faccessat, AT_FDCWD, (long)path, 0, 0, 0, 0) == 0;
}

/* A closed descriptor 0, 1 or 2 would be given to the next file opened. */
static void fill_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++) {
		long got;

		if (kernel_call(__NR_fcntl, fd, F_GETFD, 0, 0, 0, 0) >= 0)
			continue;
		got = kernel_call(__NR_openat, AT_FDCWD, (long)"/dev/null", fd ? O_WRONLY : O_RDONLY, 0, 0, 0);
		if (got != fd)
			fail("a standard descriptor is closed and /dev/null cannot be opened", "");
	}
}

/* The path of this program with no symbolic link in it.  Without /proc: the
 * path given to execve, with links in its last component followed. */
static void find_self(const char *exec_name)
{
	long n = kernel_call(__NR_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)self, sizeof self - 1, 0, 0);

	if (n > 0) {
		self[n] = 0;
		return;
	}
	if (!exec_name || exec_name[0] != '/' || !join(self, exec_name, "", ""))
		fail("cannot find my own path: /proc is not mounted", "");
	for (int hop = 0; hop < 40; hop++) {
		n = kernel_call(__NR_readlinkat, AT_FDCWD, (long)self, (long)candidate, sizeof candidate - 1, 0, 0);
		if (n <= 0)
			return;
		candidate[n] = 0;
		if (candidate[0] == '/') {
			join(self, candidate, "", "");
		} else {
			cut_last(self);
			if (!join(self, self, "/", candidate))
				break;
		}
	}
	fail("cannot find my own path: too many symbolic links at ", exec_name);
}

/* Adds the directory below `root` that holds `marker` to `trees`, once. */
static int add_tree(const char *root, const char *marker)
{
	/* pip, Debian's pip, lib64 distributions, Debian packages, pip --target */
	static const char *const places[] = {
		"/lib/" PYTHON "/site-packages", "/lib/" PYTHON "/dist-packages", "/lib64/" PYTHON "/site-packages",
		"/lib/python3/dist-packages",	 "",
	};

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (!join(candidate, root, places[i], marker) || !exists(candidate))
			continue;
		for (size_t known = 0; known < tree_count; known++) {
			join(candidate, root, places[i], "");
			if (text_equal(trees[known], candidate))
				return 1;
		}
		if (tree_count < TREES_MAX)
			join(trees[tree_count++], root, places[i], "");
		return 1;
	}
	return 0;
}

static void find_start(void)
{
#ifdef SOURCE_TREE
	static const char directory[] = START_TREE;
#else
	static char directory[PATH_LIMIT];

	join(directory, trees[0], "/ocirun", "");
#endif
	join(preloaded, directory, "/", PRELOAD_NAME);
	join(starter, directory, "/", START_NAME);
	join(pack, directory, "/", PACK_NAME);
}

/* `why` becomes a word with an errno. */
static void failed(const char *word, long result)
{
	char number[24];

	text_number(number, (uint64_t)-result, 10);
	join(why, word, number, "");
}

/* What pip found installed elsewhere it did not install again beside us. */
static int add_requirement(const char *marker)
{
	return add_tree(prefix, marker) || add_tree(built_prefix, marker) || add_tree("/usr/local", marker) ||
	       add_tree("/usr", marker);
}

static void find_trees(void)
{
#ifdef SOURCE_TREE
	join(trees[tree_count++], SOURCE_TREE, "", "");
#else
	if (!add_tree(prefix, "/ocirun/_native" EXT_SUFFIX))
		fail("the package ocirun for " PYTHON " is being replaced (call again), or is not installed, below ",
		     prefix[0] ? prefix : "/");
#endif
	join(built_prefix, INTERPRETER, "", "");
	cut_last(built_prefix);
	cut_last(built_prefix);
	if (!add_requirement("/_cffi_backend" EXT_SUFFIX))
		fail("the package cffi is not installed for ", PYTHON);
	add_requirement("/jsonschema/__init__.py"); /* only `check` needs it, and says so itself */
}

/* In place of the L of these: variables that act on the interpreter, or its loader, before our code can stop them. */
#define HELD '\1'

static int is_held(const char *variable)
{
	return text_starts(variable, "LD_") || text_starts(variable, "LC_ALL=");
}

/* Where the interpreter is, if not beside us: in the order in which it is executed. */
static const char *const elsewhere[] = {INTERPRETER, "/usr/bin/" PYTHON, "/usr/local/bin/" PYTHON};

/* The prefix of the installation that `path`, an interpreter, is a link to; 0 if there is none. */
static int prefix_of(char *prefix_out, const char *path)
{
	char link[64] = "/proc/self/fd/";
	long fd = kernel_call(__NR_openat, AT_FDCWD, (long)path, O_PATH | O_CLOEXEC, 0, 0, 0), n;

	if (fd < 0)
		return 0;
	text_number(link + text_length(link), (uint64_t)fd, 10);
	n = kernel_call(__NR_readlinkat, AT_FDCWD, (long)link, (long)prefix_out, PATH_LIMIT - 1, 0, 0);
	kernel_call(__NR_close, fd, 0, 0, 0, 0, 0);
	prefix_out[n > 0 ? n : 0] = 0;
	return n > 0 && cut_last(prefix_out) && cut_last(prefix_out);
}

/* Whether there is a library for the starter: that of the interpreter that would be executed, and of no other.
 * Mostly it is the one that was there when we were compiled.  A wheel comes to other machines: then `search` says
 * where it is, and the starter takes its directories from that (start/starter.c). */
static int find_library(void)
{
	static const char *const places[] = {"/lib/" MULTIARCH, "/lib64", "/lib"};
	static const char *const landmarks[] = {"/lib64/" PYTHON "/os.py", "/lib/" PYTHON "/os.py"};
	static char base[PATH_LIMIT];
	int found, whole = 0;

	found = join(candidate, self, "/" PYTHON, "") && prefix_of(base, candidate);
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere && !found; i++)
		found = prefix_of(base, elsewhere[i]);
	/* A program whose library is missing would be executed, and fail. */
	if (LIBRARY[0] && (!found || text_equal(base, PREFIX)) && exists(LIBRARY) && exists(LANDMARK))
		return 1;
	for (size_t i = 0; i < sizeof landmarks / sizeof *landmarks; i++)
		whole |= found && join(candidate, base, landmarks[i], "") && exists(candidate);
	for (size_t i = 0; i < sizeof places / sizeof *places && whole; i++)
		if (join(candidate, base, places[i], "/" LIBRARY_NAME) && exists(candidate))
			return join(search, "LD_LIBRARY_PATH=", base, places[i]);
	return 0;
}

_Noreturn static void run(const struct start *start)
{
	static char dashes[] = "--", flags[] = "-ISB", option[] = "-X", utf8[] = "utf8", code[] = "-c";
	static char locale[] = "LC_ALL=C", nameless[] = "ocirun";
	size_t variables = 0, n = 0;

	while (start->envp[variables])
		variables++;

	char *args[(size_t)start->argc + TREES_MAX + 14];
	char *env[variables + 3];
	char **tail;
	long result;

	args[n++] = candidate;
	args[n++] = flags;
	/* File names and standard streams are UTF-8 whatever the locale, and with
	 * LC_ALL set CPython does not put LC_CTYPE into the environment (PEP 538). */
	args[n++] = option;
	args[n++] = utf8;
	args[n++] = code;
	args[n] = bootstrap;
	tail = args + n++;
	args[n++] = why;
	args[n++] = program;
	args[n++] = pack;
	for (size_t i = 0; i < tree_count; i++)
		args[n++] = trees[i];
	for (size_t i = 0; i < variables; i++) {
		env[i] = start->envp[i];
		if (is_held(env[i]))
			env[i][0] = HELD;
	}
	env[variables] = locale;
	env[variables + 1] = NULL;
	args[n++] = dashes;
	args[n++] = start->argc ? start->argv[0] : nameless;
	for (long i = 1; i < start->argc; i++)
		args[n++] = start->argv[i];
	args[n] = NULL;

	if (preload_fits(preloaded, &start->machine, why)) {
		join(why, "preloaded", "", "");
		*tail = preloaded;
		result = kernel_call(__NR_execve, (long)preloaded, (long)tail, (long)env, 0, 0, 0);
		failed("unusable:", result);
	}
	if (find_library()) {
		if (search[0]) {
			env[variables + 1] = search;
			env[variables + 2] = NULL;
		}
		*tail = starter;
		result = kernel_call(__NR_execve, (long)starter, (long)tail, (long)env, 0, 0, 0);
		failed("starter:", result);
		env[variables + 1] = NULL;
	} else {
		join(why, "library", "", "");
	}
	*tail = bootstrap;
	if (join(candidate, self, "/" PYTHON, ""))
		kernel_call(__NR_execve, (long)candidate, (long)args, (long)env, 0, 0, 0);
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
		join(candidate, elsewhere[i], "", "");
		kernel_call(__NR_execve, (long)candidate, (long)args, (long)env, 0, 0, 0);
	}
	fail("cannot start " PYTHON ", neither beside me nor as ", INTERPRETER);
}

__attribute__((used)) _Noreturn static void begin(long *stack)
{
	struct start start = {.argc = stack[0], .argv = (char **)(stack + 1)};
	unsigned long *aux;
	char **end;

	start.envp = start.argv + start.argc + 1;
	for (end = start.envp; *end; end++)
		;
	for (aux = (unsigned long *)(end + 1); aux[0] != AT_NULL; aux += 2) {
		if (aux[0] == AT_EXECFN)
			start.exec_name = (const char *)aux[1];
		else if (aux[0] == AT_PAGESZ)
			start.machine.page = aux[1];
		else if (PRELOAD_HWCAP && aux[0] == AT_HWCAP)
			start.machine.hwcap = aux[1];
		else if (PRELOAD_HWCAP && aux[0] == AT_HWCAP2)
			start.machine.hwcap2 = aux[1];
	}

	fill_standard_descriptors();
	find_self(start.exec_name);
	join(program, self, "", "");
	cut_last(self);
	join(prefix, self, "", "");
	cut_last(prefix);
	find_trees();
	find_start();
	run(&start);
}

/* The kernel enters here with argc at the stack pointer. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl begin\n");
#endif
