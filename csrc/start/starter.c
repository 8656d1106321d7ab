/* The interpreter, started without what a command line does not need.
 *
 * `python -I -S` looks for its library by trial, reads and compiles its
 * encodings from files and its first code from an argument.  All of that is
 * known when ocirun is compiled, so this program tells the interpreter, in a
 * third less time.  The launcher executes it where the library of that
 * interpreter is, with the arguments that boot.py describes; elsewhere the
 * launcher executes the interpreter itself.
 *
 * Set by csrc/build.py: PREFIX, STDLIB, DYNLOAD, ZIP, INTERPRETER, LIBRARY, PYTHON
 * ("python3.11"), ZIP_NAME, and start_modules.h with the modules frozen_encodings and frozen_boot.
 *
 * A wheel comes to other machines.  Where the launcher has found another library than
 * LIBRARY, the directories are those beside that. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PRELOAD_WRITES
#include "preload.h"
#include "start_modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define BOOT "ocirun_boot"
#define PRELOAD "ocirun_preload"

/* In a preloaded interpreter: the function that goes on, _signal.signal and _signal.default_int_handler. */
static PyObject *go_on, *set_signal, *interrupt;

static const struct _frozen frozen[] = {
	{.name = "encodings", .code = encodings_code, .size = sizeof encodings_code, .is_package = 1},
	{.name = "encodings.aliases", .code = aliases_code, .size = sizeof aliases_code},
	{.name = "encodings.utf_8", .code = utf_8_code, .size = sizeof utf_8_code},
	{.name = BOOT, .code = boot_code, .size = sizeof boot_code},
	{.name = PRELOAD, .code = preload_code, .size = sizeof preload_code},
	{0},
};

static void check(PyStatus status)
{
	if (PyStatus_Exception(status))
		Py_ExitStatusException(status);
}

static void say(PyConfig *config, wchar_t **field, const wchar_t *value)
{
	check(PyConfig_SetString(config, field, value));
}

static void search(PyConfig *config, const wchar_t *directory)
{
	check(PyWideStringList_Append(&config->module_search_paths, directory));
}

/* Where the interpreter has its files. */
static struct {
	const wchar_t *prefix, *stdlib, *dynload, *zip, *interpreter;
} at = {PREFIX, STDLIB, DYNLOAD, ZIP, INTERPRETER};

/* Path and rest, for as long as we live. */
static const wchar_t *placed(const char *path, const char *rest)
{
	char whole[PATH_MAX];
	const wchar_t *decoded = NULL;

	if (snprintf(whole, sizeof whole, "%s%s", path, rest) < (int)sizeof whole)
		decoded = Py_DecodeLocale(whole, NULL);
	if (!decoded)
		check(PyStatus_Error("the path of the interpreter is too long, or there is no memory"));
	return decoded;
}

/* The library is in PREFIX/lib, PREFIX/lib64 or PREFIX/lib/MULTIARCH. */
static void take_places(void)
{
	static const char *const inner[] = {"/lib64/" PYTHON, "/lib/" PYTHON};
	char prefix[PATH_MAX], stdlib[PATH_MAX], file[PATH_MAX], *end;
	int found = 0;
	Dl_info library;

	if (!dladdr((void *)Py_BytesMain, &library) || strcmp(library.dli_fname, LIBRARY) == 0 ||
	    strlen(library.dli_fname) >= sizeof prefix)
		return;
	strcpy(prefix, library.dli_fname);
	while (!found && (end = strrchr(prefix, '/'))) {
		found = strcmp(end, "/lib") == 0 || strcmp(end, "/lib64") == 0;
		*end = 0;
	}
	for (size_t i = 0; found && i < sizeof inner / sizeof *inner; i++) {
		if (snprintf(file, sizeof file, "%s%s/os.py", prefix, inner[i]) >= (int)sizeof file || access(file, F_OK) < 0)
			continue;
		snprintf(stdlib, sizeof stdlib, "%s%s", prefix, inner[i]);
		at.prefix = placed(prefix, "");
		at.stdlib = placed(stdlib, "");
		at.dynload = placed(stdlib, "/lib-dynload");
		*strrchr(stdlib, '/') = 0;
		at.zip = placed(stdlib, "/" ZIP_NAME);
		at.interpreter = placed(prefix, "/bin/" PYTHON);
		return;
	}
}

/* What -I, -S, -B and -X utf8 say, and what the interpreter would look for. */
static void configure(PyConfig *config, int argc, char **argv)
{
	PyPreConfig early;

	PyPreConfig_InitIsolatedConfig(&early);
	early.utf8_mode = 1;
	check(Py_PreInitialize(&early));
	take_places();

	PyConfig_InitIsolatedConfig(config);
	config->parse_argv = 0;
	config->site_import = 0;
	config->write_bytecode = 0;
	config->install_signal_handlers = 1; /* SIGINT, and SIGPIPE as an error, as python has them */
	check(PyConfig_SetBytesArgv(config, argc, argv));
	say(config, &config->program_name, at.interpreter);
	say(config, &config->executable, at.interpreter);
	say(config, &config->base_executable, at.interpreter);
	say(config, &config->prefix, at.prefix);
	say(config, &config->base_prefix, at.prefix);
	say(config, &config->exec_prefix, at.prefix);
	say(config, &config->base_exec_prefix, at.prefix);
	say(config, &config->stdlib_dir, at.stdlib);
	config->module_search_paths_set = 1;
	search(config, at.zip);
	search(config, at.stdlib);
	search(config, at.dynload);
}

/* A frozen package has no directory, but the codecs that are not frozen are in one. */
static int find_other_codecs(void)
{
	PyObject *package = PyImport_AddModule("encodings");
	PyObject *library = PyUnicode_FromWideChar(at.stdlib, -1);
	PyObject *directory = library ? PyUnicode_FromFormat("%U/encodings", library) : NULL;
	PyObject *path = directory ? PyList_New(1) : NULL;
	int result = -1;

	if (path) {
		PyList_SET_ITEM(path, 0, directory);
		result = package ? PyObject_SetAttrString(package, "__path__", path) : -1;
		Py_DECREF(path);
	}
	Py_XDECREF(library);
	return result;
}

static PyObject *list_of(char **words, PyObject *(*make)(const char *))
{
	PyObject *list = PyList_New(0);

	for (; list && *words; words++) {
		PyObject *word = make(*words);

		if (!word || PyList_Append(list, word) < 0)
			return NULL;
		Py_DECREF(word);
	}
	return list;
}

/* The files that prepare() names, as preload_write() wants them; they stay until the end. */
static char **texts_of(PyObject *list)
{
	Py_ssize_t count = PyList_Check(list) ? PyList_Size(list) : 0;
	char **texts = PyMem_Calloc((size_t)count + 1, sizeof *texts);

	for (Py_ssize_t i = 0; texts && i < count; i++) {
		PyObject *encoded = PyUnicode_EncodeFSDefault(PyList_GetItem(list, i));

		if (!encoded)
			return NULL;
		texts[i] = PyBytes_AsString(encoded);
	}
	return texts;
}

/* starter --preload FILE PACK TREE... */
static int write_preloaded(char **argv)
{
	PyObject *module, *trees = NULL, *files = NULL, *signals, *done;
	char **also;
	int result;

	module = PyImport_ImportFrozenModule(PRELOAD) > 0 ? PyImport_AddModule(PRELOAD) : NULL;
	if (module)
		trees = list_of(argv + 4, PyUnicode_DecodeFSDefault);
	if (trees)
		files = PyObject_CallMethod(module, "prepare", "ssO", argv[2], argv[3], trees);
	also = files ? texts_of(files) : NULL;
	go_on = also ? PyObject_GetAttrString(module, "go_on") : NULL;
	signals = go_on ? PyImport_ImportModule("_signal") : NULL;
	set_signal = signals ? PyObject_GetAttrString(signals, "signal") : NULL;
	interrupt = set_signal ? PyObject_GetAttrString(signals, "default_int_handler") : NULL;
	if (!interrupt)
		return -1;
	result = preload_write(argv[2], also);
	if (result < 0) {
		errno = -result;
		PyErr_SetFromErrnoWithFilename(PyExc_OSError, argv[2]);
		return result;
	}
	done = PyObject_CallMethod(module, "learn", "ssOki", argv[2], argv[3], trees, preload_touched_offset(),
				   PRELOAD_TOUCHED);
	return done ? 0 : -1;
}

/* Signals are the process's own, and not in its memory: as Py_Initialize has them. */
static int take_signals(void)
{
	struct sigaction now;

	PyOS_setsig(SIGPIPE, SIG_IGN);
	PyOS_setsig(SIGXFSZ, SIG_IGN);
	if (sigaction(SIGINT, NULL, &now) < 0 || now.sa_handler != SIG_DFL)
		return 0;
	return PyObject_CallFunction(set_signal, "iO", SIGINT, interrupt) ? 0 : -1;
}

/* The exit status of what got no further; an interrupt needs no words. */
static int failed(void)
{
	if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
		return 128 + SIGINT;
	PyErr_Print();
	return 1;
}

static void take_name(void)
{
	prctl(PR_SET_NAME, "ocirun");
}

/* Whether a command line may be of a command that makes a process, and has the more to do. */
static int makes_process(char **argv)
{
	static const char *const commands[] = {"create", "run", "exec", "restore"};

	for (; *argv; argv++)
		for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
			if (strcmp(*argv, commands[i]) == 0)
				return 1;
	return 0;
}

_Noreturn void preload_continue(char **argv, char **envp)
{
	PyObject *words, *variables;

	take_name();
	if (makes_process(argv))
		preload_fetch(PRELOAD_MAKING);
	words = list_of(argv + 1, PyUnicode_DecodeFSDefault);
	variables = list_of(envp, PyBytes_FromString);
	if (words && variables && take_signals() == 0)
		PyObject_CallFunctionObjArgs(go_on, words, variables, NULL);
	_exit(failed());
}

int main(int argc, char **argv)
{
	PyConfig config;

	take_name();
	PyImport_FrozenModules = frozen;
	configure(&config, argc, argv);
	check(Py_InitializeFromConfig(&config));
	PyConfig_Clear(&config);
	if (find_other_codecs() == 0) {
		if (argc > 4 && strcmp(argv[1], "--preload") == 0) {
			if (write_preloaded(argv) == 0)
				_exit(0);
		} else {
			/* The bootstrap ends the process itself, unless something is wrong. */
			PyImport_ImportFrozenModule(BOOT);
		}
	}
	return failed();
}
