/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job: its inputs, the generator itself, and its staged files. All answers are collected before
 * the first job; jobs then touch only their own files, so that several can run at once.
 */
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "vars/generate/jobs.h"

/* Variants of a generator ask once. */
static struct answer *answer_find(const struct run *run, const struct config_generator *generator,
				  const struct config_prompt *prompt)
{
	for (size_t i = 0; i < run->answer_count; i++) {
		const struct answer *answer = &run->answers[i];

		if (strcmp(answer->prompt->name, prompt->name) == 0 &&
		    strcmp(answer->generator->name, generator->name) == 0)
			return &run->answers[i];
	}
	return NULL;
}

static int answer_ask(struct run *run, const struct config_generator *generator,
		      const struct config_prompt *prompt, struct error *err)
{
	struct answer *answer;

	if (answer_find(run, generator, prompt))
		return 0;
	if (array_extend(&run->answers, run->answer_count, sizeof(*answer), err) < 0)
		return -(int)err->code;
	answer = &run->answers[run->answer_count++];
	*answer = (struct answer){.generator = generator, .prompt = prompt};
	return run->options->ask(generator, prompt, &answer->text, run->options->data, err);
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

/* Reads a stored file; the first secret loads the identities. */
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

/* Keeps the files of a shared generator. */
static int shared_add(struct run *run, const struct config_generator *generator, struct error *err)
{
	struct value *values;
	int r = array_extend(&run->stored, run->stored_count, sizeof(*run->stored), err);

	if (r < 0)
		return r;
	values = calloc(generator->file_count + 1, sizeof(*values));
	if (!values)
		return error_no_memory(err);
	run->stored[run->stored_count++] = (struct stored){generator, values};
	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		const struct vars_location location = {NULL, generator, &generator->files[i]};

		r = stored_read(run, &location, &values[i].plaintext, err);
	}
	return r;
}

/* A machine's own files are read by the job, but tried before: then the identities are loaded and
 * any passphrase has been entered. */
static int own_try(struct run *run, const char *machine, const struct config_generator *generator,
		   struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		const struct vars_location location = {machine, generator, &generator->files[i]};
		_cleanup_secret_ struct secret value = {0};

		if (generator->files[i].secret)
			r = stored_read(run, &location, &value, err);
	}
	return r;
}

/*
 * Whether the stored answer of a persisted prompt remains: 1 and its file, 0, or a negative code.
 * It does unless new files were requested or a new answer was given.
 */
static int answer_is_kept(const struct run *run, const struct vars_job *job,
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
	int r = answer_is_kept(run, job, prompt, &location, err);

	if (r == 0)
		return answer_ask(run, job->generator, prompt, err);
	if (r == 1)
		r = location.file->secret && !run->has_keyring
			    ? stored_read(run, &location, &value, err)
			    : 0;
	if (r == 0)
		return 0;
	error_wrap(err, "the stored answer to %s/%s", job->generator->name, prompt->name);
	return error_hint(err, "--prompt %s/%s=@FILE gives a new one", job->generator->name,
			  prompt->name);
}

int run_gather(struct run *run, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->plan.count; i++) {
		const struct vars_job *job = &run->plan.jobs[i];
		char **name = job->generator->dependencies;

		for (; r == 0 && name && *name; name++) {
			const struct config_generator *dependency =
				config_generator_find(run->config, *name, job->machine);

			if (plan_dependency(&run->plan, i, *name) != PLAN_NONE)
				continue;
			if (dependency->share && !stored_find(run, dependency))
				r = shared_add(run, dependency, err);
			else if (!dependency->share && !run->has_keyring)
				r = own_try(run, job->machine, dependency, err);
			if (r < 0)
				error_wrap(err, "dependencies of the generator %s",
					   job->generator->name);
		}
		for (size_t j = 0; r == 0 && j < job->generator->prompt_count; j++)
			r = answer_gather(run, job, &job->generator->prompts[j], err);
	}
	return r;
}

/* From the job that creates the file, or from the store. */
static int dependency_add(struct run *run, size_t made, const struct vars_location *location,
			  struct inputs *inputs, struct error *err)
{
	const struct config_generator *generator = location->generator;
	const struct stored *stored = stored_find(run, generator);
	const size_t file = (size_t)(location->file - generator->files);
	_cleanup_secret_ struct secret read = {0};
	_cleanup_free_ char *name = text_format("%s/%s", generator->name, location->file->name);
	struct span value;

	if (!name)
		return error_no_memory(err);
	if (made != PLAN_NONE) {
		value = secret_span(&schedule_values(&run->schedule, made)[file].plaintext);
	} else if (stored) {
		value = secret_span(&stored->values[file].plaintext);
	} else {
		if (vars_store_read(run->store_dirfd, location, &run->keyring, &read, err) < 0)
			return -(int)err->code;
		value = secret_span(&read);
	}
	return inputs_add(inputs, name, value, err);
}

static int dependencies_add(struct run *run, size_t index, struct inputs *inputs, struct error *err)
{
	const struct vars_job *job = &run->plan.jobs[index];
	int r = 0;

	for (char **name = job->generator->dependencies; r == 0 && name && *name; name++) {
		const size_t made = plan_dependency(&run->plan, index, *name);
		struct vars_location location = {
			.generator = config_generator_find(run->config, *name, job->machine)};

		location.machine = location.generator->share ? NULL : job->machine;
		for (size_t i = 0; r == 0 && i < location.generator->file_count; i++) {
			location.file = &location.generator->files[i];
			r = dependency_add(run, made, &location, inputs, err);
		}
		if (r < 0)
			error_wrap(err, "dependencies of the generator %s", job->generator->name);
	}
	return r;
}

static int answer_add(const struct run *run, const struct vars_job *job,
		      const struct config_prompt *prompt, struct inputs *inputs, struct error *err)
{
	_cleanup_secret_ struct secret kept = {0};
	const struct answer *answer = answer_find(run, job->generator, prompt);
	struct vars_location location;
	int r = answer_is_kept(run, job, prompt, &location, err);

	if (r < 0)
		return r;
	if (r == 1) {
		r = vars_store_read(run->store_dirfd, &location, &run->keyring, &kept, err);
		return r < 0 ? r : inputs_add(inputs, prompt->name, secret_span(&kept), err);
	}
	if (!answer)
		return error_set(err, VMCRED_FAILED,
				 "the stored answer to %s/%s was removed during the run",
				 job->generator->name, prompt->name);
	return inputs_add(inputs, prompt->name, secret_span(&answer->text), err);
}

int run_job(struct run *run, size_t index, struct error *err)
{
	const struct vars_job *job = &run->plan.jobs[index];
	const struct staged staged = {.number = index, .job = job};
	_cleanup_inputs_ struct inputs inputs = {.config = run->config,
						 .machine = job->machine,
						 .store_dirfd = run->store_dirfd,
						 .no_sandbox = run->options->no_sandbox,
						 .script_seconds = run->options->script_seconds};
	struct value *values = NULL;
	int r = dependencies_add(run, index, &inputs, err);

	for (size_t i = 0; r == 0 && i < job->generator->prompt_count; i++)
		r = answer_add(run, job, &job->generator->prompts[i], &inputs, err);
	if (r < 0)
		return r;
	values = calloc(job->generator->file_count + 1, sizeof(*values));
	if (!values)
		return error_no_memory(err);
	r = generator_run(job->generator, &inputs, values, err);
	if (r == 0)
		r = staging_write(&run->staging, &staged, values, err);
	if (r == 0)
		schedule_stage(&run->schedule, index, values);
	else
		values_free(values, job->generator->file_count);
	return r;
}
