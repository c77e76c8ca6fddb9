/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * Where the module is: beside the program in the folder of a build, where it was installed to in
 * relation to the program (below a DESTDIR too), where the build was told to install it.
 */
static const struct {
	const char *folder;
	bool relative; /* to the program's folder */
} places[] = {
	{"", true},
	{MODULE_FOLDER_RELATIVE, true},
	{MODULE_FOLDER, false},
};

#define PLACE_COUNT (sizeof(places) / sizeof(places[0]))

struct program {
	char folder[PATH_MAX];
	uid_t owner;
};

static int program_find(struct program *program)
{
	static const char self[] = "/proc/self/exe";
	ssize_t length = readlink(self, program->folder, sizeof(program->folder) - 1);
	struct stat status;
	char *slash;

	if (length <= 0 || stat(self, &status) < 0)
		return -1;
	program->folder[length] = '\0';
	slash = strrchr(program->folder, '/');
	if (!slash)
		return -1;
	slash[1] = '\0';
	program->owner = status.st_uid;
	return 0;
}

/* Opens the module; -1 where it is not there. */
static int module_open(const struct program *program, struct error *err)
{
	for (size_t i = 0; i < PLACE_COUNT; i++) {
		_cleanup_free_ char *path = NULL;
		int fd;

		if (places[i].relative && !program->folder[0])
			continue;
		if (asprintf(&path, "%s%s%s", places[i].relative ? program->folder : "",
			     places[i].folder, MODULE_FILE) < 0) {
			path = NULL;
			return error_no_memory(err);
		}
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd >= 0)
			return fd;
	}
	error_set(err, VMCRED_FAILED, "%s is not %sin %s", MODULE_FILE,
		  program->folder[0] ? "beside the program and not " : "", MODULE_FOLDER);
	return error_hint(err, "install all of vmcred, not the program alone");
}

/* A folder that others may write to, such as /tmp, may hold a program of ours and a module of
 * theirs. */
static int owner_check(int fd, const struct program *program, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "reading whose %s is", MODULE_FILE);
	if (status.st_uid == 0 || (program->folder[0] && status.st_uid == program->owner))
		return 0;
	return error_set(err, VMCRED_FAILED, "%s belongs to neither root nor the program's owner",
			 MODULE_FILE);
}

static const struct cli_module *module_load(struct error *err)
{
	struct program program = {.folder = ""};
	_cleanup_close_ int fd = -1;
	const struct cli_module *module;
	char path[64];
	void *handle;

	if (getauxval(AT_SECURE) || program_find(&program) < 0)
		program.folder[0] = '\0';
	fd = module_open(&program, err);
	if (fd < 0 || owner_check(fd, &program, err) < 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		error_set(err, VMCRED_FAILED, "%s", dlerror());
		return NULL;
	}
	module = dlsym(handle, MODULE_SYMBOL);
	if (!module || strcmp(module->version, vmcred_version()) != 0) {
		error_set(err, VMCRED_FAILED, "%s is not of version %s", MODULE_FILE,
			  vmcred_version());
		error_hint(err, "install the program and its module together");
		return NULL;
	}
	return module;
}

const struct cli_command *module_command(const char *name, struct error *err)
{
	const struct cli_module *module = module_load(err);

	if (!module) {
		error_wrap(err, "loading what \"%s\" needs", name);
		return NULL;
	}
	for (const struct cli_command *command = module->commands; command->name; command++) {
		if (strcmp(command->name, name) == 0)
			return command;
	}
	error_set(err, VMCRED_FAILED, "%s has no command \"%s\"", MODULE_FILE, name);
	return NULL;
}
