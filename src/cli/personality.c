/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/personality.h"

#include <fnmatch.h>
#include <string.h>
#include <sys/auxv.h>

/* Patterns (fnmatch(3)); the command of a row without a function is the one of that name in
 * crypto.c. */
static const struct cli_command personalities[] = {
	/* systemd calls a generator by its path, with three folders: systemd.generator(7). */
	{.name = "vmcred-generator", .run = command_units},
	{.name = "cloud-hypervisor", .run = command_hypervisor},
	{.name = "qemu-system-*", .run = command_hypervisor},
	{.name = "sops"},
	{.name = "sops-install-secrets"},
};

#define PERSONALITY_COUNT (sizeof(personalities) / sizeof(personalities[0]))

/*
 * The path that was executed, and not argv[0], which the caller chooses freely (`exec -a` in a
 * shell); only one who executed a descriptor gave no path.
 */
static const char *called_path(char *const *argv)
{
	/* getauxval(3) gives pointers as numbers. */
	const char *path =
		(const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr) */

	return path && strncmp(path, "/dev/fd/", strlen("/dev/fd/")) != 0 ? path : argv[0];
}

const char *personality_name(char *const *argv)
{
	const char *path = called_path(argv), *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

const struct cli_command *personality_find(char *const *argv)
{
	const char *name = personality_name(argv);

	for (size_t i = 0; name && i < PERSONALITY_COUNT; i++) {
		if (fnmatch(personalities[i].name, name, 0) == 0)
			return &personalities[i];
	}
	return NULL;
}
