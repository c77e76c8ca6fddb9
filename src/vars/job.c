/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job: what it depends on, what was answered, the generator itself, and its files under a
 * temporary name. A person is asked for all answers before the first job; then only the jobs' own
 * files are read and written, so that jobs may run at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vars/run.h"

static int answer_ask(struct run *run, const struct config_generator *generator,
		      const struct config_prompt *prompt, struct error *err)
{
	struct answer *answers;

	for (size_t i = 0; i < run->answer_count; i++) {
		if (run->answers[i].prompt == prompt)
			return 0;
	}
	answers = reallocarray(run->answers, run->answer_count + 1, sizeof(*answers));
	if (!answers)
		return error_no_memory(err);
	run->answers = answers;
	answers[run->answer_count++] = (struct answer){.prompt = prompt};
	return run->options->ask(generator, prompt, &answers[run->answer_count - 1].text,
				 run->options->data, err);
}

static const struct stored *stored_find(const struct run *run,
					const struct config_generator *generator)
{
	for (size_t i = 0; i < run->stored_count; i++) {
		if (run->stored[i].generator == generator)
			return &run->stored[i];
	}
	return NULL;
}

/* Decrypts a file that is in the store; it was there when the run began. */
static int stored_read(struct run *run, const struct vars_location *location, struct secret *value,
		       struct error *err)
{
	int r = 0;

	if (location->file->secret && !run->has_keyring) {
		r = vars_keyring_load(run->store_dirfd, location, run->options->identities,
				      run->options->data, &run->keyring, err);
		run->has_keyring = r == 0;
	}
	return r < 0 ? r : vars_store_read(run->store_dirfd, location, &run->keyring, value, err);
}

static int stored_add(struct run *run, const struct config_generator *generator, struct error *err)
{
	struct stored *stored = reallocarray(run->stored, run->stored_count + 1, sizeof(*stored));
	struct vars_value *values = calloc(generator->file_count + 1, sizeof(*values));
	int r = 0;

	if (stored)
		run->stored = stored;
	if (!stored || !values) {
		free(values);
		return error_no_memory(err);
	}
	stored[run->stored_count++] = (struct stored){generator, values};
	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		const struct vars_location location = {NULL, generator, &generator->files[i]};

		r = stored_read(run, &location, &values[i].plaintext, err);
	}
	return r;
}

/* A machine's own file is read when it is needed; before that it is tried whether it can be: then
 * the identities are there, and opened, where someone has to be asked for that. */
static int stored_try(struct run *run, const struct vars_job *job,
		      const struct config_generator *generator, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		const struct vars_location location = {job->machine, generator,
						       &generator->files[i]};
		_cleanup_secret_ struct secret value = {0};

		if (generator->files[i].secret)
			r = stored_read(run, &location, &value, err);
	}
	return r;
}

/*
 * Where a persisted prompt's answer is: returns 1 and the file if the one that is in the store
 * stays, else 0. It does unless a person asked for new files or gave a new answer.
 */
static int answer_kept(const struct run *run, const struct vars_job *job,
		       const struct config_prompt *prompt, struct vars_location *location,
		       struct error *err)
{
	const struct vars_generate_options *options = run->options;

	if (!prompt->persist || job->reason == VARS_REASON_REQUESTED ||
	    (options->answered && options->answered(job->generator, prompt, options->data)))
		return 0;
	*location = (struct vars_location){job->machine, job->generator,
					   config_file_find(job->generator, prompt->name)};
	return vars_store_has(run->store_dirfd, location, err);
}

static int answer_gather(struct run *run, const struct vars_job *job,
			 const struct config_prompt *prompt, struct error *err)
{
	_cleanup_secret_ struct secret value = {0};
	struct vars_location location;
	int r = answer_kept(run, job, prompt, &location, err);

	if (r == 0)
		return answer_ask(run, job->generator, prompt, err);
	/* As above: tried once. */
	if (r == 1)
		r = location.file->secret && !run->has_keyring
			    ? stored_read(run, &location, &value, err)
			    : 0;
	if (r == 0)
		return 0;
	error_wrap(err, "the answer to %s/%s that is in the store", job->generator->name,
		   prompt->name);
	return error_hint(err, "--prompt %s/%s=@FILE gives a new one", job->generator->name,
			  prompt->name);
}

static int job_gather(struct run *run, size_t index, struct error *err)
{
	const struct vars_job *job = &run->plan.jobs[index];
	char **name = job->generator->dependencies;
	int r = 0;

	for (; r == 0 && name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_find(run->config, *name);

		if (plan_find(&run->plan, index, job->machine, dependency) != PLAN_NONE)
			continue;
		if (dependency->share && !stored_find(run, dependency))
			r = stored_add(run, dependency, err);
		else if (!dependency->share && !run->has_keyring)
			r = stored_try(run, job, dependency, err);
		if (r < 0)
			error_wrap(err, "what the generator %s depends on", job->generator->name);
	}
	for (size_t i = 0; r == 0 && i < job->generator->prompt_count; i++)
		r = answer_gather(run, job, &job->generator->prompts[i], err);
	return r;
}

int run_gather(struct run *run, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->plan.count; i++)
		r = job_gather(run, i, err);
	return r;
}

static int dependency_add(struct run *run, size_t index, const struct vars_location *location,
			  struct vars_inputs *inputs, struct error *err)
{
	const struct config_generator *generator = location->generator;
	const size_t made = plan_find(&run->plan, index, location->machine, generator);
	const struct stored *stored = stored_find(run, generator);
	const size_t file = (size_t)(location->file - generator->files);
	_cleanup_secret_ struct secret read = {0};
	_cleanup_free_ char *name = NULL;
	struct span value;
	int r = 0;

	if (made != PLAN_NONE) {
		value = secret_span(&schedule_values(&run->schedule, made)[file].plaintext);
	} else if (stored) {
		value = secret_span(&stored->values[file].plaintext);
	} else {
		r = vars_store_read(run->store_dirfd, location, &run->keyring, &read, err);
		value = secret_span(&read);
	}
	if (r == 0 && asprintf(&name, "%s/%s", generator->name, location->file->name) < 0) {
		name = NULL;
		r = error_no_memory(err);
	}
	return r < 0 ? r : vars_inputs_add(inputs, name, value, err);
}

static int dependencies_add(struct run *run, size_t index, struct vars_inputs *inputs,
			    struct error *err)
{
	const struct vars_job *job = &run->plan.jobs[index];
	int r = 0;

	for (char **name = job->generator->dependencies; r == 0 && name && *name; name++) {
		struct vars_location location = {.generator =
							 config_generator_find(run->config, *name)};

		location.machine = location.generator->share ? NULL : job->machine;
		for (size_t i = 0; r == 0 && i < location.generator->file_count; i++) {
			location.file = &location.generator->files[i];
			r = dependency_add(run, index, &location, inputs, err);
		}
		if (r < 0)
			error_wrap(err, "what the generator %s depends on", job->generator->name);
	}
	return r;
}

static int answer_add(const struct run *run, const struct vars_job *job,
		      const struct config_prompt *prompt, struct vars_inputs *inputs,
		      struct error *err)
{
	_cleanup_secret_ struct secret kept = {0};
	struct vars_location location;
	size_t i = 0;
	int r = answer_kept(run, job, prompt, &location, err);

	if (r == 1) {
		r = vars_store_read(run->store_dirfd, &location, &run->keyring, &kept, err);
		return r < 0 ? r : vars_inputs_add(inputs, prompt->name, secret_span(&kept), err);
	}
	if (r < 0)
		return r;
	while (i < run->answer_count && run->answers[i].prompt != prompt)
		i++;
	if (i == run->answer_count)
		return error_set(err, VMCRED_FAILED, "the stored answer to %s/%s has gone",
				 job->generator->name, prompt->name);
	return vars_inputs_add(inputs, prompt->name, secret_span(&run->answers[i].text), err);
}

static int answers_add(const struct run *run, const struct vars_job *job,
		       struct vars_inputs *inputs, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < job->generator->prompt_count; i++)
		r = answer_add(run, job, &job->generator->prompts[i], inputs, err);
	return r;
}

static int job_stage(struct run *run, size_t index, const struct vars_value *values,
		     struct error *err)
{
	const struct vars_job *job = &run->plan.jobs[index];
	const struct staged staged = {index, job->machine, job->generator, false};
	char *const own[] = {job->machine, NULL};
	char *const *machines =
		job->machine ? own : config_generator_machines(run->config, job->generator);

	return stage_write(&run->stage, &staged, values, machines, err);
}

int run_job(struct run *run, size_t index, struct error *err)
{
	const struct vars_job *job = &run->plan.jobs[index];
	_cleanup_vars_inputs_ struct vars_inputs inputs = {.config = run->config,
							   .store_dirfd = run->store_dirfd,
							   .no_sandbox = run->options->no_sandbox,
							   .script_seconds =
								   run->options->script_seconds};
	struct vars_value *values = NULL;
	int r = dependencies_add(run, index, &inputs, err);

	if (r == 0)
		r = answers_add(run, job, &inputs, err);
	if (r < 0)
		return r;
	values = calloc(job->generator->file_count + 1, sizeof(*values));
	if (!values)
		return error_no_memory(err);
	r = vars_generator_run(job->generator, &inputs, values, err);
	if (r == 0)
		r = job_stage(run, index, values, err);
	if (r == 0)
		schedule_stage(&run->schedule, index, values);
	else
		vars_values_free(values, job->generator->file_count);
	return r;
}
