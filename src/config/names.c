/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines and generators by their names, and the generators of each machine: a declaration may
 * have tens of thousands, so nothing looks through them one by one.
 */
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

static int names_compare(const void *a, const void *b)
{
	const struct config_name *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static const struct config_name *name_find(const struct config_name *names, size_t count,
					   const char *name)
{
	const struct config_name key = {.name = name};

	return names ? bsearch(&key, names, count, sizeof(*names), names_compare) : NULL;
}

int schema_names(struct config *config, struct error *err)
{
	struct config_name *machines = calloc(config->machine_count + 1, sizeof(*machines));
	struct config_name *generators = calloc(config->generator_count + 1, sizeof(*generators));

	config->machines_by_name = machines;
	config->generators_by_name = generators;
	config->machine_names = calloc(config->machine_count + 1, sizeof(char *));
	if (!machines || !generators || !config->machine_names)
		return error_no_memory(err);
	for (size_t i = 0; i < config->machine_count; i++) {
		machines[i] = (struct config_name){config->machines[i].name, i};
		config->machine_names[i] = config->machines[i].name;
	}
	for (size_t i = 0; i < config->generator_count; i++)
		generators[i] = (struct config_name){config->generators[i].name, i};
	qsort(machines, config->machine_count, sizeof(*machines), names_compare);
	qsort(generators, config->generator_count, sizeof(*generators), names_compare);
	return 0;
}

const struct config_machine *config_machine_find(const struct config *config, const char *name)
{
	const struct config_name *found =
		name_find(config->machines_by_name, config->machine_count, name);

	return found ? &config->machines[found->index] : NULL;
}

const struct config_generator *config_generator_find(const struct config *config, const char *name)
{
	const struct config_name *found =
		name_find(config->generators_by_name, config->generator_count, name);

	return found ? &config->generators[found->index] : NULL;
}

static int machine_generator_add(struct config_machine *machine, size_t index, struct error *err)
{
	size_t count = machine->generator_count;
	size_t *larger;

	/* Named twice by one generator. */
	if (count > 0 && machine->generators[count - 1] == index)
		return 0;
	/* Doubles at each power of two. */
	if ((count & (count - 1)) == 0) {
		larger = reallocarray(machine->generators, count ? 2 * count : 1, sizeof(*larger));
		if (!larger)
			return error_no_memory(err);
		machine->generators = larger;
	}
	machine->generators[machine->generator_count++] = index;
	return 0;
}

static int generator_machines_read(struct reader *reader, struct config *config, size_t index)
{
	const struct config_generator *generator = &config->generators[index];
	int r = 0;

	for (char **name = generator->machines; r == 0 && name && *name; name++) {
		const struct config_name *found =
			name_find(config->machines_by_name, config->machine_count, *name);

		if (!found)
			return schema_reference_reject(
				reader, generator->line, generator->name, "machine", *name,
				schema_entry_nearest(*name, config->machines, config->machine_count,
						     sizeof(struct config_machine),
						     offsetof(struct config_machine, name)));
		if (!generator->share)
			r = machine_generator_add(&config->machines[found->index], index,
						  reader->err);
	}
	return r;
}

int schema_machine_generators(struct reader *reader, struct config *config)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->generator_count; i++)
		r = generator_machines_read(reader, config, config->generator_order[i]);
	return r;
}
