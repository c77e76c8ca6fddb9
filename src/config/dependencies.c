/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What generators need of each other. All checks over names are here, so that who runs a generator
 * can take for granted that what it needs is declared, comes before it, and is for its machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/schema.h"

/* A chain is walked by a recursion. */
#define CHAIN_MAX 1000

static size_t index_of(const struct config *config, const struct config_generator *generator)
{
	return (size_t)(generator - config->generators);
}

static int generator_reject(struct reader *reader, const struct config_generator *generator,
			    const char *reason, const char *name)
{
	return error_set(reader->err, VMCRED_USAGE, "%s:%d: generators.%s: %s \"%s\"", reader->path,
			 generator->line, generator->name, reason, name);
}

static int texts_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first of the generator's machines that the dependency is not for, or NULL; `sorted` has room
 * for the dependency's. */
static const char *machine_missing(const struct config_generator *generator,
				   const struct config_generator *dependency, char **sorted)
{
	size_t count = config_texts_count(dependency->machines);

	for (size_t i = 0; i < count; i++)
		sorted[i] = dependency->machines[i];
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

	if (dependency->share)
		return 0;
	if (generator->share)
		return generator_reject(reader, generator,
					"is shared and cannot depend on a generator that makes "
					"other files for each machine,",
					dependency->name);
	sorted = calloc(config_texts_count(dependency->machines) + 1, sizeof(char *));
	if (!sorted)
		return error_no_memory(reader->err);
	missing = machine_missing(generator, dependency, sorted);
	if (!missing)
		return 0;
	generator_reject(reader, generator,
			 "depends on a generator that is not for all of its machines,",
			 dependency->name);
	return error_hint(reader->err, "add %s to its machines", missing);
}

/* A list that Nix puts together of several may name one twice. */
static void repeated_drop(char **names)
{
	char **kept = names;

	for (char **name = names; name && *name; name++) {
		char **before = names;

		while (before < kept && strcmp(*before, *name) != 0)
			before++;
		if (before == kept)
			*kept++ = *name;
		else
			free(*name);
	}
	if (kept)
		*kept = NULL;
}

static int dependencies_check(struct reader *reader, const struct config *config,
			      const struct config_generator *generator)
{
	int r = 0;

	repeated_drop(generator->dependencies);
	for (char **name = generator->dependencies; r == 0 && name && *name; name++) {
		const struct config_generator *dependency = config_generator_find(config, *name);

		if (!dependency)
			return schema_reference_reject(
				reader, generator->line, generator->name, "generator", *name,
				schema_entry_nearest(*name, config->generators,
						     config->generator_count,
						     sizeof(struct config_generator),
						     offsetof(struct config_generator, name)));
		r = machines_check(reader, generator, dependency);
	}
	return r;
}

/* The walk in depth: who is on the way from a generator to what it depends on. */
struct walk {
	struct reader *reader;
	struct config *config;
	enum {
		UNSEEN,
		ON_THE_WAY,
		DONE
	} * states;
	const struct config_generator **way;
	size_t depth, ordered;
};

static int circle_reject(const struct walk *walk, const struct config_generator *generator)
{
	size_t start = walk->depth - 1;
	_cleanup_free_ char *names = strdup("");

	while (walk->way[start] != generator)
		start--;
	for (size_t i = start; names && i < walk->depth; i++) {
		_cleanup_free_ char *before = names;

		if (asprintf(&names, "%s%s -> ", before, walk->way[i]->name) < 0)
			names = NULL;
	}
	if (!names)
		return error_no_memory(walk->reader->err);
	error_set(walk->reader->err, VMCRED_USAGE, "%s:%d: generators depend on each other: %s%s",
		  walk->reader->path, generator->line, names, generator->name);
	return -(int)VMCRED_USAGE;
}

/* Puts the generator behind all that it depends on; as deep as the longest chain. */
static int generator_order(struct walk *walk, const struct config_generator *generator)
{
	size_t index = index_of(walk->config, generator);
	int r = 0;

	if (walk->states[index] == DONE)
		return 0;
	if (walk->states[index] == ON_THE_WAY)
		return circle_reject(walk, generator);
	if (walk->depth == CHAIN_MAX)
		return error_set(walk->reader->err, VMCRED_USAGE,
				 "%s: more than %d generators depend on each other in a chain",
				 walk->reader->path, CHAIN_MAX);
	walk->states[index] = ON_THE_WAY;
	walk->way[walk->depth++] = generator;
	for (char **name = generator->dependencies; r == 0 && name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_find(walk->config, *name);

		/* All names were looked up before. */
		r = dependency ? generator_order(walk, dependency) : 0;
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
	walk.way = calloc(count + 1, sizeof(struct config_generator *));
	if (config->generator_order && walk.states && walk.way) {
		for (size_t i = 0; i < count && r == 0; i++)
			r = generator_order(&walk, &config->generators[i]);
	} else {
		r = error_no_memory(reader->err);
	}
	free(walk.states);
	free(walk.way);
	return r;
}

int schema_dependencies(struct reader *reader, struct config *config)
{
	int r = 0;

	for (size_t i = 0; i < config->generator_count && r == 0; i++) {
		r = dependencies_check(reader, config, &config->generators[i]);
		if (r == 0)
			r = schema_kinds_uses(reader, config, &config->generators[i]);
	}
	return r == 0 ? generators_order(reader, config) : r;
}
