/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "vars/placing.h"

int vars_lock(int store_dirfd, const struct report *report, struct error *err)
{
	int r;

	if (flock(store_dirfd, LOCK_EX | LOCK_NB) == 0)
		return placing_clean(store_dirfd, err);
	if (errno == EWOULDBLOCK)
		report_message(report, REPORT_WARNING,
			       "waiting for another vmcred that works on this store");
	r = dir_lock(store_dirfd, "the store", err);
	return r < 0 ? r : placing_clean(store_dirfd, err);
}

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
	for (; r == 0 && machines && *machines; machines++) {
		const struct config_machine *machine = config_machine_find(config, *machines);

		r = machine ? machine_each(config, machine, each, data, err) : 0;
	}
	return r;
}

static int location_add(const struct vars_location *location, void *data, struct error *err)
{
	struct walk *walk = data;

	if (walk->count == walk->room) {
		size_t room = walk->room ? walk->room * 2 : 64;
		struct vars_location *larger = reallocarray(walk->locations, room, sizeof(*larger));

		if (!larger)
			return error_no_memory(err);
		walk->locations = larger;
		walk->room = room;
	}
	walk->locations[walk->count++] = *location;
	return 0;
}

static bool is_among(const char *name, char *const *names)
{
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

/* 1, 0, or a negative code. A document's folder may hold links alone: so clan leaves it where
 * encrypting fails. */
static int kept_has(int store_dirfd, const char *name, const char *kind, const char *what,
		    struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "sops/secrets/%s/%s%s", name, kind, what) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	return faccessat(store_dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whether it is there, and for one of the machines. */
static int kept_concerns(int store_dirfd, const char *name, char *const *machines,
			 struct error *err)
{
	int r = kept_has(store_dirfd, name, "", "secret", err);

	if (r <= 0 || !machines)
		return r;
	for (r = 0; r == 0 && *machines; machines++)
		r = kept_has(store_dirfd, name, "machines/", *machines, err);
	return r;
}

static int kept_add(int store_dirfd, char *const *machines, struct config_file *file,
		    struct walk *walk, struct error *err)
{
	struct vars_location location = {.file = file};
	int r;

	if (store_machine_key_cut(file->name)) {
		location = (struct vars_location){.machine = file->name};
		r = !machines || is_among(file->name, machines);
	} else {
		r = kept_concerns(store_dirfd, file->name, machines, err);
	}
	return r <= 0 ? r : location_add(&location, walk, err);
}

int walk_plan(const struct config *config, int store_dirfd, char *const *machines,
	      struct walk *walk, struct error *err)
{
	int r = vars_each(config, machines, location_add, walk, err);

	if (r == 0)
		r = store_names_list(store_dirfd, "sops/secrets", &walk->kept_names, err);
	if (r < 0)
		return r;
	walk->kept = calloc(config_texts_count(walk->kept_names) + 1, sizeof(*walk->kept));
	if (!walk->kept)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && walk->kept_names && walk->kept_names[i]; i++) {
		walk->kept[i] = (struct config_file){.name = walk->kept_names[i], .secret = true};
		r = kept_add(store_dirfd, machines, &walk->kept[i], walk, err);
	}
	return r;
}

void walk_destroy(struct walk *walk)
{
	free(walk->locations);
	free(walk->kept);
	config_texts_free(walk->kept_names);
	*walk = (struct walk){0};
}
