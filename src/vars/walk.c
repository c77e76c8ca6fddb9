/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "vars/placing.h"

int vars_lock(int store_dirfd, struct error *err)
{
	while (flock(store_dirfd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, errno, "locking the store");
	}
	return placing_clean(store_dirfd, err);
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

int walk_plan(const struct config *config, int store_dirfd, char *const *machines,
	      struct walk *walk, struct error *err)
{
	int r = vars_each(config, machines, location_add, walk, err);

	if (r == 0)
		r = store_machine_keys_list(store_dirfd, &walk->key_names, err);
	for (char **name = walk->key_names; r == 0 && name && *name; name++) {
		const struct vars_location location = {.machine = *name};

		if (!machines || is_among(*name, machines))
			r = location_add(&location, walk, err);
	}
	return r;
}

void walk_destroy(struct walk *walk)
{
	free(walk->locations);
	config_texts_free(walk->key_names);
	*walk = (struct walk){0};
}
