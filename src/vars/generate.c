/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run: the plan's jobs in their order. What a job made is kept in memory while others may depend
 * on it, so that a store which nobody here can decrypt can be filled from nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"
#include "vars/plan.h"

/* The values of a job, for those that depend on it. */
struct made {
	const struct config_generator *generator;
	struct vars_value *values; /* owned, generator->file_count */
};

struct answer {
	const struct config_prompt *prompt;
	struct secret text; /* owned */
};

struct run {
	const struct config *config;
	int store_dirfd;
	const struct vars_generate_options *options;
	const struct report *report;
	char *writer;         /* owned; for whom it is, too, or NULL */
	char **all_machines;  /* owned; names, NULL-terminated */
	bool *has_dependents; /* owned; for each generator */
	struct made *made;    /* owned; of the shared jobs and of the current machine's */
	size_t made_count, made_shared;
	struct answer *answers; /* owned */
	size_t answer_count;
};

static void values_free(struct vars_value *values, size_t count)
{
	if (values)
		vars_values_release(values, count);
	free(values);
}

static void made_forget(struct run *run, size_t kept)
{
	while (run->made_count > kept) {
		struct made *made = &run->made[--run->made_count];

		values_free(made->values, made->generator->file_count);
	}
}

static void run_destroy(struct run *run)
{
	made_forget(run, 0);
	free(run->made);
	for (size_t i = 0; i < run->answer_count; i++)
		secret_destroy(&run->answers[i].text);
	free(run->answers);
	free(run->writer);
	free(run->all_machines);
	free(run->has_dependents);
}

static int run_prepare(struct run *run, struct error *err)
{
	const struct config *config = run->config;

	run->all_machines = calloc(config->machine_count + 1, sizeof(char *));
	run->has_dependents = calloc(config->generator_count + 1, sizeof(bool));
	if (!run->all_machines || !run->has_dependents)
		return error_no_memory(err);
	for (size_t i = 0; i < config->machine_count; i++)
		run->all_machines[i] = config->machines[i].name;
	for (size_t i = 0; i < config->generator_count; i++) {
		char **name = config->generators[i].dependencies;

		for (; name && *name; name++)
			run->has_dependents[config_generator_find(config, *name) -
					    config->generators] = true;
	}
	return 0;
}

static const struct made *made_find(const struct run *run, const struct vars_location *location)
{
	for (size_t i = 0; i < run->made_count; i++) {
		if (run->made[i].generator == location->generator)
			return &run->made[i];
	}
	return NULL;
}

/* A file that a job depends on: made in this run, or from the store. */
static int dependency_read(const struct run *run, const struct vars_location *location,
			   struct secret *value, struct error *err)
{
	const struct made *made = made_find(run, location);
	const struct age_identities *identities = NULL;
	int r = 0;

	if (made)
		return secret_copy(
			value,
			secret_span(&made->values[location->file - location->generator->files]
					     .plaintext),
			err);
	if (location->file->secret)
		r = run->options->identities(&identities, run->options->data, err);
	return r < 0 ? r : vars_store_read(run->store_dirfd, location, identities, value, err);
}

static int dependency_add(const struct run *run, const struct vars_location *location,
			  struct vars_inputs *inputs, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	_cleanup_free_ char *name = NULL;
	int r = dependency_read(run, location, &value, err);

	if (r == 0 &&
	    asprintf(&name, "%s/%s", location->generator->name, location->file->name) < 0) {
		name = NULL;
		r = error_no_memory(err);
	}
	return r < 0 ? r : vars_inputs_add(inputs, name, secret_span(&value), err);
}

static int dependencies_add(const struct run *run, const struct vars_job *job,
			    struct vars_inputs *inputs, struct error *err)
{
	int r = 0;

	for (char **name = job->generator->dependencies; r == 0 && name && *name; name++) {
		struct vars_location location = {.generator =
							 config_generator_find(run->config, *name)};

		location.machine = location.generator->share ? NULL : job->machine;
		for (size_t i = 0; r == 0 && i < location.generator->file_count; i++) {
			location.file = &location.generator->files[i];
			r = dependency_add(run, &location, inputs, err);
		}
		if (r < 0)
			error_wrap(err, "what the generator %s depends on", job->generator->name);
	}
	return r;
}

static int answer_ask(struct run *run, const struct config_generator *generator,
		      const struct config_prompt *prompt, struct error *err)
{
	struct answer *answers =
		reallocarray(run->answers, run->answer_count + 1, sizeof(*answers));

	if (!answers)
		return error_no_memory(err);
	run->answers = answers;
	answers[run->answer_count++] = (struct answer){.prompt = prompt};
	return run->options->ask(generator, prompt, &answers[run->answer_count - 1].text,
				 run->options->data, err);
}

static int prompts_add(struct run *run, const struct vars_job *job, struct vars_inputs *inputs,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < job->generator->prompt_count; i++) {
		const struct config_prompt *prompt = &job->generator->prompts[i];
		size_t j = 0;

		while (j < run->answer_count && run->answers[j].prompt != prompt)
			j++;
		if (j == run->answer_count)
			r = answer_ask(run, job->generator, prompt, err);
		if (r == 0)
			r = vars_inputs_add(inputs, prompt->name,
					    secret_span(&run->answers[j].text), err);
	}
	return r;
}

/* Keeps the values for those that depend on them, or releases them. */
static int values_keep(struct run *run, const struct vars_job *job, struct vars_value *values,
		       struct error *err)
{
	struct made *made;

	if (!run->has_dependents[job->generator - run->config->generators]) {
		values_free(values, job->generator->file_count);
		return 0;
	}
	made = reallocarray(run->made, run->made_count + 1, sizeof(*made));
	if (!made) {
		values_free(values, job->generator->file_count);
		return error_no_memory(err);
	}
	run->made = made;
	made[run->made_count++] = (struct made){job->generator, values};
	run->made_shared += job->machine ? 0 : 1;
	return 0;
}

/* Those that may read the files: the machine, those that a shared generator names, or all. */
static int job_seal(const struct run *run, const struct vars_job *job,
		    const struct vars_value *values, struct error *err)
{
	char *const own[] = {job->machine, NULL};
	char *const *machines = own;

	if (!job->machine)
		machines = job->generator->machines && job->generator->machines[0]
				   ? job->generator->machines
				   : run->all_machines;
	return vars_store_write(run->config, run->store_dirfd, job->machine, job->generator, values,
				machines, run->writer, err);
}

static int job_run(struct run *run, const struct vars_job *job, struct error *err)
{
	_cleanup_vars_inputs_ struct vars_inputs inputs = {.config = run->config,
							   .store_dirfd = run->store_dirfd,
							   .no_sandbox = run->options->no_sandbox,
							   .script_seconds =
								   run->options->script_seconds};
	struct vars_value *values = NULL;
	int r = dependencies_add(run, job, &inputs, err);

	if (r == 0)
		r = prompts_add(run, job, &inputs, err);
	if (r < 0)
		return r;
	values = calloc(job->generator->file_count, sizeof(*values));
	if (!values)
		return error_no_memory(err);
	r = vars_generator_run(job->generator, &inputs, values, err);
	if (r == 0)
		r = job_seal(run, job, values, err);
	if (r < 0) {
		values_free(values, job->generator->file_count);
		return r;
	}
	return values_keep(run, job, values, err);
}

static int jobs_run(struct run *run, const struct plan *plan, struct error *err)
{
	const char *machine = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->count; i++) {
		const struct vars_job *job = &plan->jobs[i];

		/* What was made for one machine is nothing to the next. */
		if (job->machine != machine)
			made_forget(run, run->made_shared);
		machine = job->machine;
		report_progress(run->report, i, plan->count);
		if (!run->options->dry_run)
			r = job_run(run, job, err);
		if (r == 0)
			run->options->generated(job, run->options->data);
	}
	if (r == 0)
		report_progress(run->report, plan->count, plan->count);
	return r;
}

int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  struct error *err)
{
	__attribute__((cleanup(run_destroy))) struct run run = {
		.config = config, .store_dirfd = store_dirfd, .options = options, .report = report};
	struct plan plan = {0};
	int r = run_prepare(&run, err);

	if (r < 0)
		return r;
	r = vars_lock(store_dirfd, err);
	if (r < 0)
		return r;
	r = plan_make(config, store_dirfd, options, report, &plan, err);
	if (r == 0 && plan.count > 0 && !options->dry_run)
		r = vars_writer_find(config, store_dirfd, options->identities, options->data,
				     &run.writer, err);
	if (r == 0)
		r = jobs_run(&run, &plan, err);
	plan_destroy(&plan);
	(void)flock(store_dirfd, LOCK_UN);
	return r;
}
