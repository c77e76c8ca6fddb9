/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/trusted/trusted.h"
#include "config/schema.h"

size_t config_texts_count(char *const *texts)
{
	size_t count = 0;

	while (texts && texts[count])
		count++;
	return count;
}

void config_destroy(struct config *config)
{
	for (size_t i = 0; i < config->machine_count; i++)
		free(config->machines[i].generators);
	free(config->generator_order);
	schema_memory_free(config);
	*config = (struct config){0};
}

/* Opens the directory of a path: as it is written, or where its links lead. */
static int parent_open(const char *path, bool follow, struct error *err)
{
	_cleanup_free_ char *copy = follow ? realpath(path, NULL) : strdup(path);

	return copy ? dir_open(AT_FDCWD, dirname(copy), err)
		    : error_set_errno(err, errno, "%s", path);
}

/* The store's root: beside the declaration, or else where that leads as a link. */
static int store_open(const char *path, struct error *err)
{
	_cleanup_close_ int fd = parent_open(path, false, err);

	if (fd < 0 || faccessat(fd, "vars", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return fd < 0 ? fd : fd_release(&fd);
	return parent_open(path, true, err);
}

/* How far above the working directory the error looks for a declaration. */
#define PARENTS_MAX ((size_t)8)

/* For somebody in a subdirectory of the repository. It is only named: it may be another user's. */
static int not_found(const char *path, struct error *err)
{
	static const char above[] = "../vmcred.yaml";
	const bool is_default = strcmp(path, VMCRED_CONFIG_PATH) == 0;
	char parent[PARENTS_MAX * 3 + sizeof(above)];

	error_set(err, VMCRED_USAGE, "declaration %s%s not found",
		  is_default ? "./vmcred.yaml or " : "", path);
	for (size_t size = 0; is_default && size < PARENTS_MAX * 3; size += 3) {
		memcpy(parent + size, above, sizeof(above));
		if (access(parent, F_OK) == 0)
			return error_hint(err,
					  "run the command in the repository, or use --config %s",
					  parent);
	}
	return error_hint(err, "create it with `vmcred init`, or use --config FILE");
}

int config_find(const char *given, char **path, int *dirfd, struct error *err)
{
	static const char here[] = "vmcred.yaml";
	_cleanup_free_ char *found = NULL;
	struct stat status;
	int fd;

	if (!given && access(here, F_OK) == 0) {
		given = here;
		if (trusted_found_check(here, err) < 0)
			return -(int)err->code;
	}
	if (!given)
		given = VMCRED_CONFIG_PATH;
	if (access(given, F_OK) < 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(err, errno, "opening %s", given);
	if (access(given, F_OK) < 0)
		return not_found(given, err);
	if (stat(given, &status) == 0 && S_ISDIR(status.st_mode)) {
		error_set(err, VMCRED_USAGE, "declaration %s is a directory", given);
		return error_hint(err, "use --config %s/vmcred.yaml", given);
	}
	found = strdup(given);
	if (!found)
		return error_no_memory(err);
	if (dirfd) {
		fd = store_open(given, err);
		if (fd < 0)
			return fd;
		*dirfd = fd;
	}
	if (path)
		*path = pointer_release(&found);
	return 0;
}

const struct config_file *config_file_find(const struct config_generator *generator,
					   const char *name)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		if (strcmp(generator->files[i].name, name) == 0)
			return &generator->files[i];
	}
	return NULL;
}

bool config_generator_depends_on(const struct config_generator *generator, const char *name)
{
	for (char **dependency = generator->dependencies; dependency && *dependency; dependency++) {
		if (strcmp(*dependency, name) == 0)
			return true;
	}
	return false;
}

bool config_generator_is_for(const struct config_generator *generator, const char *machine)
{
	const bool is_for_all =
		generator->share && (!generator->machines || !generator->machines[0]);

	return is_for_all || texts_contain(generator->machines, machine);
}

char *const *config_generator_machines(const struct config *config,
				       const struct config_generator *generator)
{
	return generator->machines && generator->machines[0] ? generator->machines
							     : config->machine_names;
}

static void undeclared(const struct config *config, const char *what, const char *name,
		       const void *entries, size_t count, size_t entry_size, struct error *err)
{
	error_set(err, VMCRED_USAGE, "%s declares no %s \"%s\"", config->path, what, name);
	reader_hint_nearest(err, name, entries, count, entry_size);
}

const struct config_vm *config_vm_get(const struct config *config, const char *name,
				      struct error *err)
{
	for (size_t i = 0; i < config->vm_count; i++) {
		if (strcmp(config->vms[i].name, name) != 0)
			continue;
		if (!config->vms[i].problem)
			return &config->vms[i];
		error_set(err, VMCRED_USAGE, "%s", config->vms[i].problem);
		return NULL;
	}
	for (size_t i = 0; i < config->vm_elsewhere_count; i++) {
		if (strcmp(config->vms_elsewhere[i].name, name) != 0)
			continue;
		error_set(err, VMCRED_USAGE, "VM \"%s\" belongs to the machine %s", name,
			  config->vms_elsewhere[i].machine);
		error_hint(err, "run this command there");
		return NULL;
	}
	undeclared(config, "VM", name, config->vms, config->vm_count, sizeof(*config->vms), err);
	return NULL;
}

const struct config_machine *config_machine_get(const struct config *config, const char *name,
						struct error *err)
{
	const struct config_machine *machine = config_machine_find(config, name);

	if (!machine)
		undeclared(config, "machine", name, config->machines, config->machine_count,
			   sizeof(*config->machines), err);
	return machine;
}

const struct config_generator *config_generator_get(const struct config *config, const char *name,
						    struct error *err)
{
	const struct config_generator *generator = config_generator_find(config, name, NULL);

	if (!generator)
		undeclared(config, "generator", name, config->generators, config->generator_count,
			   sizeof(*config->generators), err);
	return generator ? generator - generator->variant : NULL;
}

const char *config_hypervisor_path(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->hypervisor_count; i++) {
		if (strcmp(config->hypervisors[i].name, name) == 0)
			return config->hypervisors[i].path;
	}
	return NULL;
}
