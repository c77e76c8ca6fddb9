/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "vars/vars.h"

struct run {
	const struct config *config;
	int store_dirfd;
	const struct vars_generate_options *options;
	const struct report *report;
	vars_generated_fn generated;
	void *data;
};

static bool machine_is_asked_for(const struct run *run, const char *machine)
{
	char *const *name = run->options->machines;

	if (!name)
		return true;
	while (*name && strcmp(*name, machine) != 0)
		name++;
	return *name != NULL;
}

/* How many of the generator's files are there; the name of one that is not goes to `*missing`. */
static int present_count(const struct run *run, const char *machine,
			 const struct config_generator *generator, const char **missing,
			 struct error *err)
{
	int count = 0;

	for (size_t i = 0; i < generator->file_count; i++) {
		const struct vars_location location = {machine, generator, &generator->files[i]};
		int r = vars_store_has(run->store_dirfd, &location, err);

		if (r < 0)
			return r;
		if (r == 0)
			*missing = generator->files[i].name;
		count += r;
	}
	return count;
}

/* Makes one generator's files and seals them for the machines. */
static int generator_make(const struct run *run, const char *machine,
			  const struct config_generator *generator, char *const *machines,
			  struct error *err)
{
	struct vars_value *values = calloc(generator->file_count, sizeof(*values));
	int r;

	if (!values)
		return error_no_memory(err);
	r = vars_generator_run(generator, values, err);
	if (r == 0)
		r = vars_store_write(run->store_dirfd, machine, generator, values, machines, err);
	vars_values_release(values, generator->file_count);
	free(values);
	return r;
}

static int generator_visit(const struct run *run, const char *machine,
			   const struct config_generator *generator, char *const *machines,
			   struct error *err)
{
	const char *missing = NULL;
	int present = present_count(run, machine, generator, &missing, err), r = 0;

	if (present < 0)
		return present;
	if (!missing && !run->options->regenerate) {
		report_message(run->report, REPORT_INFO, "%s%s%s: all files are there",
			       generator->name, machine ? " for " : "", machine ? machine : "");
		return 0;
	}
	/* One run of a script makes all its files: to add one is to replace the others. */
	if (missing && present > 0 && !run->options->regenerate) {
		error_set(err, VMCRED_FAILED,
			  "the generator %s has some of its files, but not \"%s\"", generator->name,
			  missing);
		return error_hint(
			err, "`vmcred generate --generator %s --regenerate` makes all of them anew",
			generator->name);
	}
	if (!run->options->dry_run)
		r = generator_make(run, machine, generator, machines, err);
	if (r == 0)
		run->generated(machine, generator, run->data);
	return r;
}

/* A shared generator is for the machines that it names, or for all. */
static int shared_visit(const struct run *run, const struct config_generator *generator,
			struct error *err)
{
	_cleanup_free_ char **machines = NULL;

	if (generator->machines && generator->machines[0])
		return generator_visit(run, NULL, generator, generator->machines, err);
	machines = calloc(run->config->machine_count + 1, sizeof(char *));
	if (!machines)
		return error_no_memory(err);
	for (size_t i = 0; i < run->config->machine_count; i++)
		machines[i] = run->config->machines[i].name;
	return generator_visit(run, NULL, generator, machines, err);
}

static int generators_visit(const struct run *run, struct error *err)
{
	const char *only = run->options->generator;
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->config->generator_count; i++) {
		const struct config_generator *generator = &run->config->generators[i];

		if (only && strcmp(only, generator->name) != 0)
			continue;
		if (generator->share) {
			r = shared_visit(run, generator, err);
			continue;
		}
		for (char **machine = generator->machines; r == 0 && *machine; machine++) {
			char *const readers[] = {*machine, NULL};

			if (machine_is_asked_for(run, *machine))
				r = generator_visit(run, *machine, generator, readers, err);
		}
	}
	return r;
}

static int options_check(const struct run *run, struct error *err)
{
	for (char *const *name = run->options->machines; name && *name; name++) {
		if (!config_machine_get(run->config, *name, err))
			return -(int)err->code;
	}
	if (run->options->generator && !config_generator_find(run->config, run->options->generator))
		return error_set(err, VMCRED_USAGE, "%s declares no generator \"%s\"",
				 run->config->path, run->options->generator);
	return 0;
}

int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  vars_generated_fn generated, void *data, struct error *err)
{
	const struct run run = {config, store_dirfd, options, report, generated, data};
	int r = options_check(&run, err);

	if (r < 0)
		return r;
	/* Held until the descriptor is closed. */
	while (flock(store_dirfd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, errno, "locking the store");
	}
	r = generators_visit(&run, err);
	(void)flock(store_dirfd, LOCK_UN);
	return r;
}
