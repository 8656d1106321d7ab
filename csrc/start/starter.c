/* The interpreter, started without what a command line does not need.
 *
 * `python -I -S` looks for its library by trial, reads and compiles its
 * encodings from files and its first code from an argument.  All of that is
 * known when ocirun is compiled, so this program tells the interpreter, in a
 * third less time.  The launcher executes it where the library of that
 * interpreter is, with the arguments that boot.py describes; elsewhere the
 * launcher executes the interpreter itself.
 *
 * Set by csrc/build.py: PREFIX, STDLIB, DYNLOAD, ZIP, INTERPRETER, and
 * start_modules.h with the modules frozen_encodings and frozen_boot. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "start_modules.h"

#define BOOT "ocirun_boot"

static const struct _frozen frozen[] = {
	{.name = "encodings", .code = encodings_code, .size = sizeof encodings_code, .is_package = 1},
	{.name = "encodings.aliases", .code = aliases_code, .size = sizeof aliases_code},
	{.name = "encodings.utf_8", .code = utf_8_code, .size = sizeof utf_8_code},
	{.name = BOOT, .code = boot_code, .size = sizeof boot_code},
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

/* What -I, -S, -B and -X utf8 say, and what the interpreter would look for. */
static void configure(PyConfig *config, int argc, char **argv)
{
	PyPreConfig early;

	PyPreConfig_InitIsolatedConfig(&early);
	early.utf8_mode = 1;
	check(Py_PreInitialize(&early));

	PyConfig_InitIsolatedConfig(config);
	config->parse_argv = 0;
	config->site_import = 0;
	config->write_bytecode = 0;
	config->install_signal_handlers = 1; /* SIGINT, and SIGPIPE as an error, as python has them */
	check(PyConfig_SetBytesArgv(config, argc, argv));
	say(config, &config->program_name, INTERPRETER);
	say(config, &config->executable, INTERPRETER);
	say(config, &config->base_executable, INTERPRETER);
	say(config, &config->prefix, PREFIX);
	say(config, &config->base_prefix, PREFIX);
	say(config, &config->exec_prefix, PREFIX);
	say(config, &config->base_exec_prefix, PREFIX);
	say(config, &config->stdlib_dir, STDLIB);
	config->module_search_paths_set = 1;
	search(config, ZIP);
	search(config, STDLIB);
	search(config, DYNLOAD);
}

/* A frozen package has no directory, but the codecs that are not frozen are in one. */
static int find_other_codecs(void)
{
	PyObject *package = PyImport_AddModule("encodings");
	PyObject *directory = PyUnicode_FromWideChar(STDLIB L"/encodings", -1);
	PyObject *path = directory ? PyList_New(1) : NULL;
	int result = -1;

	if (path) {
		PyList_SET_ITEM(path, 0, directory);
		result = package ? PyObject_SetAttrString(package, "__path__", path) : -1;
		Py_DECREF(path);
	}
	return result;
}

int main(int argc, char **argv)
{
	PyConfig config;

	PyImport_FrozenModules = frozen;
	configure(&config, argc, argv);
	check(Py_InitializeFromConfig(&config));
	PyConfig_Clear(&config);
	/* The bootstrap ends the process itself, unless something is wrong. */
	if (find_other_codecs() == 0)
		PyImport_ImportFrozenModule(BOOT);
	PyErr_Print();
	return 1;
}
