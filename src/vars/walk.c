/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/file.h>

#include "vars/placing.h"
#include "vars/vars.h"

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
