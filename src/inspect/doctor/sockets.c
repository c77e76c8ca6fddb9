/* SPDX-License-Identifier: Apache-2.0 */
/* Cloud Hypervisor's API shows the OEM strings (vm.info), and QEMU's monitor the guest's memory. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"
#include "inspect/doctor/doctor.h"

/* Options whose argument names a socket, and what is before its path. */
static const struct {
	const char *option, *prefix;
} options[] = {
	{"--api-socket", "path="}, {"--api-socket", ""},  {"-qmp", "unix:"},
	{"-qmp-pretty", "unix:"},  {"-monitor", "unix:"},
};

/* The path of the socket in an argument; NULL: none. The caller frees it. */
static char *socket_path(const char *option, const char *argument)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const size_t size = strlen(options[i].prefix);

		if (strcmp(option, options[i].option) == 0 &&
		    strncmp(argument, options[i].prefix, size) == 0 && argument[size] == '/')
			return strndup(argument + size, strcspn(argument + size, ","));
	}
	return NULL;
}

/* Whether any user can connect: through all directories below `root`, to a socket that exists. */
static bool is_open(const char *root, const char *path)
{
	for (const char *end = path + strcspn(path + 1, "/") + 1;;
	     end += strcspn(end + 1, "/") + 1) {
		_cleanup_free_ char *part = strndup(path + 1, (size_t)(end - path) - 1);
		_cleanup_free_ char *full = part ? path_join(root, part) : NULL;
		struct stat status;

		if (!full || stat(full, &status) < 0)
			return false;
		if (!*end)
			return S_ISSOCK(status.st_mode) && (status.st_mode & S_IWOTH);
		if (!(status.st_mode & S_IXOTH))
			return false;
	}
}

static int command_check(struct doctor *doctor, const struct config_vm *vm, const char *root,
			 struct error *err)
{
	int r = 0;

	for (char *const *word = vm->command; r == 0 && word && *word; word++) {
		const size_t size = strcspn(word[0], "=");
		const char *argument = word[0][size] ? word[0] + size + 1 : word[1];
		_cleanup_free_ char *option = strndup(word[0], size);
		_cleanup_free_ char *path =
			option && argument ? socket_path(option, argument) : NULL;

		if (path && is_open(root, path))
			r = doctor_add(doctor, "socket-mode", DOCTOR_ERROR, NULL,
				       text_format("any user can connect to %s of the VM %s, and "
						   "read its secrets there",
						   path, vm->name),
				       text_format("put it in a directory that only the "
						   "hypervisor's user can enter"),
				       err);
	}
	return r;
}

int doctor_check_sockets(struct doctor *doctor, const struct config *config, const char *root,
			 struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->vm_count; i++)
		r = command_check(doctor, &config->vms[i], root ? root : "/", err);
	return r;
}
