/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of machines and generators, and dependencies between generators. After these checks,
 * everything that a generator needs is declared, comes before it in the order, and has files for
 * its machines. A declaration may have tens of thousands of names, so lookups are binary searches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "config/schema.h"

/* Bounds the recursion. */
#define CHAIN_MAX 1000

static const struct config_name *name_find(const struct config_name *names, size_t count,
					   const char *name)
{
	const struct config_name key = {.name = name};

	return names ? bsearch(&key, names, count, sizeof(*names), texts_compare) : NULL;
}

/* Only the items of a list have the same name. */
static void variants_count(struct config_generator *generators, size_t count)
{
	for (size_t i = 0, end = 0; i < count; i = end) {
		while (end < count && strcmp(generators[end].name, generators[i].name) == 0)
			end++;
		for (size_t j = i; j < end; j++) {
			generators[j].variant = j - i;
			generators[j].variants = end - i;
		}
	}
}

int schema_names_sort(struct config *config, struct error *err)
{
	struct config_name *machines =
		schema_allocate(config, config->machine_count + 1, sizeof(*machines), err);
	struct config_name *generators =
		schema_allocate(config, config->generator_count + 1, sizeof(*generators), err);

	config->machines_by_name = machines;
	config->generators_by_name = generators;
	config->machine_names =
		schema_allocate(config, config->machine_count + 1, sizeof(char *), err);
	if (!machines || !generators || !config->machine_names)
		return -(int)err->code;
	for (size_t i = 0; i < config->machine_count; i++) {
		machines[i] = (struct config_name){config->machines[i].name, i};
		config->machine_names[i] = config->machines[i].name;
	}
	for (size_t i = 0; i < config->generator_count; i++)
		generators[i] = (struct config_name){config->generators[i].name, i};
	variants_count(config->generators, config->generator_count);
	qsort(machines, config->machine_count, sizeof(*machines), texts_compare);
	qsort(generators, config->generator_count, sizeof(*generators), texts_compare);
	return 0;
}

const struct config_machine *config_machine_find(const struct config *config, const char *name)
{
	const struct config_name *found =
		name_find(config->machines_by_name, config->machine_count, name);

	return found ? &config->machines[found->index] : NULL;
}

const struct config_generator *config_generator_find(const struct config *config, const char *name,
						     const char *machine)
{
	const struct config_name *found =
		name_find(config->generators_by_name, config->generator_count, name);
	const struct config_generator *first, *chosen;
	const struct config_machine *owner;

	if (!found)
		return NULL;
	first = chosen =
		&config->generators[found->index] - config->generators[found->index].variant;
	if (first->variants == 1)
		return first;
	owner = machine ? config_machine_find(config, machine) : NULL;
	for (size_t i = 0; owner && i < owner->generator_count; i++) {
		const struct config_generator *own = &config->generators[owner->generators[i]];

		if (own >= first && own < first + first->variants)
			return own;
	}
	for (size_t i = 0; i < first->variants; i++) {
		if (first[i].share)
			chosen = &first[i];
	}
	return chosen;
}

static int generator_reject(struct reader *reader, const struct config_generator *generator,
			    const char *problem, const char *name)
{
	return reader_reject_line(reader, generator->line, "generators.%s: %s \"%s\"",
				  generator->name, problem, name);
}

/* The first of the generator's machines that no variant of the dependency is for, or NULL; `sorted`
 * has room for the dependency's. */
static const char *machine_missing(const struct config_generator *generator,
				   const struct config_generator *dependency, char **sorted)
{
	size_t count = 0;

	for (size_t i = 0; i < dependency->variants; i++) {
		for (char **machine = dependency[i].machines; machine && *machine; machine++)
			sorted[count++] = *machine;
	}
	qsort(sorted, count, sizeof(char *), texts_compare);
	for (char **machine = generator->machines; machine && *machine; machine++) {
		if (!bsearch(machine, sorted, count, sizeof(char *), texts_compare))
			return *machine;
	}
	return NULL;
}

/* A dependency must have files for each machine that the generator is for. */
static int machines_check(struct reader *reader, const struct config_generator *generator,
			  const struct config_generator *dependency)
{
	_cleanup_free_ char **sorted = NULL;
	const char *missing;
	size_t count = 0;

	if (dependency->share)
		return 0;
	if (generator->share)
		return generator_reject(reader, generator,
					"a shared generator cannot depend on an unshared one,",
					dependency->name);
	/* None of its variants is shared. */
	dependency -= dependency->variant;
	for (size_t i = 0; i < dependency->variants; i++)
		count += config_texts_count(dependency[i].machines);
	sorted = calloc(count + 1, sizeof(char *));
	if (!sorted)
		return error_no_memory(reader->err);
	missing = machine_missing(generator, dependency, sorted);
	if (!missing)
		return 0;
	generator_reject(reader, generator, "missing machines in the dependency", dependency->name);
	return error_hint(reader->err, "add %s to its machines", missing);
}

/* Lists that Nix merges may have duplicates. */
static void duplicates_drop(char **names)
{
	char **kept = names;

	for (char **name = names; name && *name; name++) {
		char **before = names;

		while (before < kept && strcmp(*before, *name) != 0)
			before++;
		if (before == kept)
			*kept++ = *name;
	}
	if (kept)
		*kept = NULL;
}

/* Each variant is for other machines, and one at most is shared. */
static int variant_check(struct reader *reader, const struct config *config,
			 const struct config_generator *generator)
{
	if (generator->variants == 1)
		return 0;
	if (config_texts_count(generator->machines) == 0)
		return reader_reject_line(
			reader, generator->line,
			"generators.%s: no machines: each variant in a list needs them",
			generator->name);
	if (generator->share && config_generator_find(config, generator->name, NULL) != generator)
		return reader_reject_line(reader, generator->line,
					  "generators.%s: more than one shared variant",
					  generator->name);
	return 0;
}

static int dependencies_check(struct reader *reader, const struct config *config,
			      const struct config_generator *generator)
{
	int r = variant_check(reader, config, generator);

	duplicates_drop(generator->dependencies);
	for (char **name = generator->dependencies; r == 0 && name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_find(config, *name, NULL);

		if (!dependency) {
			generator_reject(reader, generator, "undeclared dependency", *name);
			return READER_HINT_NEAREST(reader->err, *name, config->generators,
						   config->generator_count);
		}
		r = machines_check(reader, generator, dependency);
	}
	return r;
}

/* A depth-first walk: the path from a generator to its dependencies. */
struct walk {
	struct reader *reader;
	struct config *config;
	enum {
		UNSEEN,
		ON_PATH,
		DONE
	} * states;
	const struct config_generator **path;
	size_t depth, ordered;
};

static int cycle_reject(const struct walk *walk, const struct config_generator *generator)
{
	size_t start = walk->depth - 1;
	_cleanup_free_ char *names = strdup("");

	while (walk->path[start] != generator)
		start--;
	for (size_t i = start; names && i < walk->depth; i++) {
		_cleanup_free_ char *before = names;

		if (asprintf(&names, "%s%s -> ", before, walk->path[i]->name) < 0)
			names = NULL;
	}
	if (!names)
		return error_no_memory(walk->reader->err);
	return reader_reject_line(walk->reader, generator->line, "dependency cycle: %s%s", names,
				  generator->name);
}

/* Puts the generator after its dependencies; as deep as the longest chain. */
static int generator_order(struct walk *walk, const struct config_generator *generator)
{
	size_t index = (size_t)(generator - walk->config->generators);
	int r = 0;

	if (walk->states[index] == DONE)
		return 0;
	if (walk->states[index] == ON_PATH)
		return cycle_reject(walk, generator);
	if (walk->depth == CHAIN_MAX)
		return reader_reject_line(walk->reader, generator->line,
					  "dependency chain of more than %d generators", CHAIN_MAX);
	walk->states[index] = ON_PATH;
	walk->path[walk->depth++] = generator;
	for (char **name = generator->dependencies; r == 0 && name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_get(walk->config, *name, walk->reader->err);

		/* All names were checked before. */
		for (size_t i = 0; r == 0 && dependency && i < dependency->variants; i++)
			r = generator_order(walk, &dependency[i]);
	}
	walk->depth--;
	walk->states[index] = DONE;
	walk->config->generator_order[walk->ordered++] = index;
	return r;
}

static int generators_order(struct reader *reader, struct config *config)
{
	const size_t count = config->generator_count;
	struct walk walk = {.reader = reader, .config = config};
	int r = 0;

	config->generator_order = calloc(count + 1, sizeof(*config->generator_order));
	walk.states = calloc(count + 1, sizeof(*walk.states));
	walk.path = calloc(count + 1, sizeof(struct config_generator *));
	if (config->generator_order && walk.states && walk.path) {
		for (size_t i = 0; i < count && r == 0; i++)
			r = generator_order(&walk, &config->generators[i]);
	} else {
		r = error_no_memory(reader->err);
	}
	free(walk.states);
	free(walk.path);
	return r;
}

static int machine_generator_add(struct config_machine *machine, size_t index, struct error *err)
{
	size_t count = machine->generator_count;
	size_t *larger;

	/* The generator names the machine twice. */
	if (count > 0 && machine->generators[count - 1] == index)
		return 0;
	/* The capacity is a power of two. */
	if ((count & (count - 1)) == 0) {
		larger = reallocarray(machine->generators, count ? 2 * count : 1, sizeof(*larger));
		if (!larger)
			return error_no_memory(err);
		machine->generators = larger;
	}
	machine->generators[machine->generator_count++] = index;
	return 0;
}

/* Whether the machine has another variant of the generator: an earlier one, or a shared one. */
static bool has_other_variant(const struct config *config, const struct config_generator *generator,
			      const char *machine)
{
	const struct config_generator *found;

	if (generator->variants == 1)
		return false;
	found = config_generator_find(config, generator->name, machine);
	return found != generator && config_generator_is_for(found, machine);
}

/* Adds a generator to its machines. */
static int machines_add(struct reader *reader, struct config *config, size_t index)
{
	const struct config_generator *generator = &config->generators[index];
	int r = 0;

	for (char **name = generator->machines; r == 0 && name && *name; name++) {
		const struct config_name *found =
			name_find(config->machines_by_name, config->machine_count, *name);

		if (!found) {
			generator_reject(reader, generator, "undeclared machine", *name);
			return READER_HINT_NEAREST(reader->err, *name, config->machines,
						   config->machine_count);
		}
		if (generator->share)
			continue;
		if (has_other_variant(config, generator, *name))
			return generator_reject(reader, generator,
						"more than one variant for the machine", *name);
		r = machine_generator_add(&config->machines[found->index], index, reader->err);
	}
	return r;
}

int schema_dependencies(struct reader *reader, struct config *config)
{
	int r = 0;

	for (size_t i = 0; i < config->generator_count && r == 0; i++)
		r = dependencies_check(reader, config, &config->generators[i]);
	if (r == 0)
		r = generators_order(reader, config);
	for (size_t i = 0; r == 0 && i < config->generator_count; i++)
		r = machines_add(reader, config, config->generator_order[i]);
	for (size_t i = 0; r == 0 && i < config->generator_count; i++)
		r = schema_builtin_sources_check(reader, config, &config->generators[i]);
	return r;
}
