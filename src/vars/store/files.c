/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "vars/store/store.h"

static int generator_each(const char *machine, const struct config_generator *generator,
			  vars_each_fn each, void *data, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		const struct vars_location location = {machine, generator, &generator->files[i]};

		r = each(&location, data, err);
	}
	return r;
}

static int machine_each(const struct config *config, const struct config_machine *machine,
			vars_each_fn each, void *data, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < machine->generator_count; i++)
		r = generator_each(machine->name, &config->generators[machine->generators[i]], each,
				   data, err);
	return r;
}

int vars_each(const struct config *config, char *const *machines, vars_each_fn each, void *data,
	      struct error *err)
{
	int r = 0;

	for (char *const *name = machines; name && *name; name++) {
		if (!config_machine_get(config, *name, err))
			return -(int)err->code;
	}
	for (size_t i = 0; r == 0 && i < config->generator_count; i++) {
		const struct config_generator *generator =
			&config->generators[config->generator_order[i]];

		if (generator->share)
			r = generator_each(NULL, generator, each, data, err);
	}
	for (size_t i = 0; r == 0 && !machines && i < config->machine_count; i++)
		r = machine_each(config, &config->machines[i], each, data, err);
	for (; r == 0 && machines && *machines; machines++)
		r = machine_each(config, config_machine_find(config, *machines), each, data, err);
	return r;
}

static int location_add(const struct vars_location *location, void *data, struct error *err)
{
	struct store_files *files = data;

	int r = array_grow(&files->locations, files->count, &files->capacity, sizeof(*location),
			   err);

	if (r == 0)
		files->locations[files->count++] = *location;
	return r;
}

/* If the name is that of a machine's own key, leaves the machine's name. */
static bool machine_key_cut(char *name)
{
	const size_t length = strlen(name), suffix = strlen(STORE_MACHINE_KEY_SUFFIX);

	if (length <= suffix || strcmp(name + length - suffix, STORE_MACHINE_KEY_SUFFIX) != 0)
		return false;
	name[length - suffix] = '\0';
	return true;
}

/* Whether the secret has a document and is linked to one of the machines: 1, 0, or a negative code.
 * clan leaves links without a document if encrypting fails. */
static int secret_is_linked(int store_dirfd, const char *name, char *const *machines,
			    struct error *err)
{
	_cleanup_free_ char *document = text_format("sops/secrets/%s/secret", name);
	const bool all = !machines;

	if (!document)
		return error_no_memory(err);
	if (faccessat(store_dirfd, document, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	for (; machines && *machines; machines++) {
		_cleanup_free_ char *link =
			text_format("sops/secrets/%s/machines/%s", name, *machines);

		if (!link)
			return error_no_memory(err);
		if (faccessat(store_dirfd, link, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
	}
	return all;
}

static int secret_add(int store_dirfd, char *const *machines, struct config_file *file,
		      struct store_files *files, struct error *err)
{
	struct vars_location location = {.file = file};
	int r = !machines;

	if (machine_key_cut(file->name)) {
		location = (struct vars_location){.machine = file->name};
		for (char *const *machine = machines; r == 0 && *machine; machine++)
			r = strcmp(file->name, *machine) == 0;
	} else {
		r = secret_is_linked(store_dirfd, file->name, machines, err);
	}
	return r <= 0 ? r : location_add(&location, files, err);
}

int store_files_list(const struct config *config, int store_dirfd, char *const *machines,
		     struct store_files *files, struct error *err)
{
	int r = vars_each(config, machines, location_add, files, err);

	if (r == 0)
		r = store_names_list(store_dirfd, "sops/secrets", &files->names, err);
	if (r < 0)
		return r;
	files->files = calloc(files->names.count + 1, sizeof(*files->files));
	if (!files->files)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < files->names.count; i++) {
		files->files[i] =
			(struct config_file){.name = files->names.items[i], .secret = true};
		r = secret_add(store_dirfd, machines, &files->files[i], files, err);
	}
	return r;
}

void store_files_destroy(struct store_files *files)
{
	free(files->locations);
	free(files->files);
	strings_destroy(&files->names);
}
