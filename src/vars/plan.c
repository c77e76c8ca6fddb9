/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct planner {
	const struct config *config;
	int store_dirfd;
	const struct vars_generate_options *options;
	const struct report *report;
	struct plan *plan;
	bool *wanted; /* for each generator: asked for */
	bool *needed; /* for each generator: one that is asked for depends on it */
};

static int job_add(struct planner *planner, struct vars_job job, struct error *err)
{
	struct plan *plan = planner->plan;

	if (plan->count == plan->capacity) {
		size_t capacity = plan->capacity ? plan->capacity * 2 : 16;
		struct vars_job *jobs = reallocarray(plan->jobs, capacity, sizeof(*jobs));

		if (!jobs)
			return error_no_memory(err);
		plan->jobs = jobs;
		plan->capacity = capacity;
	}
	plan->jobs[plan->count++] = job;
	return 0;
}

/* How many of the generator's files are there; the name of one that is not goes to `*missing`. */
static int present_count(const struct planner *planner, const struct vars_job *job,
			 const char **missing, struct error *err)
{
	int count = 0;

	for (size_t i = 0; i < job->generator->file_count; i++) {
		const struct vars_location location = {job->machine, job->generator,
						       &job->generator->files[i]};
		int r = vars_store_has(planner->store_dirfd, &location, err);

		if (r < 0)
			return r;
		if (r == 0)
			*missing = job->generator->files[i].name;
		count += r;
	}
	return count;
}

size_t plan_find(const struct plan *plan, size_t end, const char *machine,
		 const struct config_generator *generator)
{
	if (generator->share)
		return plan->shared[generator - plan->config->generators];
	while (end-- > 0 && plan->jobs[end].machine == machine) {
		if (plan->jobs[end].generator == generator)
			return end;
	}
	return PLAN_NONE;
}

/* Whether a generator that this one depends on is in the plan, for the same machine or shared. */
static bool dependency_is_planned(const struct planner *planner, const struct vars_job *job)
{
	const struct plan *plan = planner->plan;

	for (char **name = job->generator->dependencies; name && *name; name++) {
		if (plan_find(plan, plan->count, job->machine,
			      config_generator_find(planner->config, *name)) != PLAN_NONE)
			return true;
	}
	return false;
}

/* One run of a script makes all its files: to add one is to replace the others. */
static int incomplete_reject(const struct vars_job *job, const char *missing, struct error *err)
{
	error_set(err, VMCRED_FAILED, "the generator %s has some of its files, but not \"%s\"",
		  job->generator->name, missing);
	return error_hint(err,
			  "`vmcred generate --generator %s --regenerate` makes all of them anew",
			  job->generator->name);
}

static int validation_decide(const struct planner *planner, struct vars_job *job, struct error *err)
{
	int r = vars_validation_changed(planner->store_dirfd, job->machine, job->generator, err);

	job->reason = VARS_REASON_VALIDATION;
	if (r == 1)
		report_message(planner->report, REPORT_WARNING,
			       "%s%s%s: its validation has changed, so its files are made anew",
			       job->generator->name, job->machine ? " for " : "",
			       job->machine ? job->machine : "");
	return r;
}

static int certificates_decide(const struct planner *planner, struct vars_job *job,
			       struct error *err)
{
	int r = 0;

	job->reason = VARS_REASON_EXPIRY;
	for (size_t i = 0; r == 0 && i < job->generator->file_count; i++) {
		const struct vars_location location = {job->machine, job->generator,
						       &job->generator->files[i]};
		_cleanup_free_ char *detail = NULL;

		r = vars_certificate_check(planner->config, planner->store_dirfd, &location,
					   &detail, err);
		if (r == 1)
			report_message(planner->report, REPORT_WARNING,
				       "%s%s%s: its files are made anew for the certificate %s: %s",
				       job->generator->name, job->machine ? " for " : "",
				       job->machine ? job->machine : "", location.file->name,
				       detail);
	}
	return r;
}

/* All files are there, and nothing is asked for. */
static int kept_decide(const struct planner *planner, struct vars_job *job, struct error *err)
{
	int r = validation_decide(planner, job, err);

	return r != 0 ? r : certificates_decide(planner, job, err);
}

/* Returns 1 and the reason if the files shall be made, else 0. */
static int job_decide(const struct planner *planner, struct vars_job *job, struct error *err)
{
	const size_t index = (size_t)(job->generator - planner->config->generators);
	const bool planned = dependency_is_planned(planner, job);
	const bool needed = planner->wanted[index] || planner->needed[index];
	const bool asked = planner->wanted[index] && planner->options->regenerate;
	const char *missing = NULL;
	int present = present_count(planner, job, &missing, err);

	if (present < 0)
		return present;
	if (!needed && !planned)
		return 0;
	if (missing && present > 0 && !asked && !planned)
		return incomplete_reject(job, missing, err);
	if (!missing && !planned && !asked)
		return kept_decide(planner, job, err);
	job->reason = missing   ? VARS_REASON_MISSING
		      : planned ? VARS_REASON_DEPENDENCY
				: VARS_REASON_REQUESTED;
	return 1;
}

static int job_visit(struct planner *planner, struct vars_job job, struct error *err)
{
	int r = job_decide(planner, &job, err);

	if (r == 0)
		report_message(planner->report, REPORT_INFO, "%s%s%s: all files are there",
			       job.generator->name, job.machine ? " for " : "",
			       job.machine ? job.machine : "");
	if (r <= 0)
		return r;
	if (!job.machine)
		planner->plan->shared[job.generator - planner->config->generators] =
			planner->plan->count;
	return job_add(planner, job, err);
}

static int shared_visit(struct planner *planner, struct error *err)
{
	const struct config *config = planner->config;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->generator_count; i++) {
		const struct config_generator *generator =
			&config->generators[config->generator_order[i]];

		if (generator->share)
			r = job_visit(planner, (struct vars_job){.generator = generator}, err);
	}
	return r;
}

static int machine_visit(struct planner *planner, const struct config_machine *machine,
			 struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < machine->generator_count; i++) {
		const struct vars_job job = {
			.generator = &planner->config->generators[machine->generators[i]],
			.machine = machine->name};

		r = job_visit(planner, job, err);
	}
	return r;
}

static bool name_is_among(const char *name, char *const *names, size_t count)
{
	while (count > 0) {
		if (strcmp(names[--count], name) == 0)
			return true;
	}
	return false;
}

static int machines_visit(struct planner *planner, struct error *err)
{
	char *const *names = planner->options->machines;
	int r = 0;

	if (!names) {
		for (size_t i = 0; r == 0 && i < planner->config->machine_count; i++)
			r = machine_visit(planner, &planner->config->machines[i], err);
		return r;
	}
	for (size_t i = 0; r == 0 && names[i]; i++) {
		const struct config_machine *machine =
			config_machine_get(planner->config, names[i], err);

		/* Named twice, its jobs are still one. */
		if (machine && name_is_among(names[i], names, i))
			continue;
		r = machine ? machine_visit(planner, machine, err) : -(int)err->code;
	}
	return r;
}

/* What a generator depends on, directly or not, must be there before it; it is no circle. */
static void need(struct planner *planner, const struct config_generator *generator)
{
	for (char **name = generator->dependencies; name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_find(planner->config, *name);
		bool *needed = &planner->needed[dependency - planner->config->generators];

		if (*needed)
			continue;
		*needed = true;
		need(planner, dependency);
	}
}

static int wanted_mark(struct planner *planner, struct error *err)
{
	const char *only = planner->options->generator;
	const struct config_generator *generator;

	if (!only) {
		memset(planner->wanted, true, planner->config->generator_count);
		return 0;
	}
	generator = config_generator_get(planner->config, only, err);
	if (!generator)
		return -(int)err->code;
	planner->wanted[generator - planner->config->generators] = true;
	need(planner, generator);
	return 0;
}

int plan_make(const struct config *config, int store_dirfd,
	      const struct vars_generate_options *options, const struct report *report,
	      struct plan *plan, struct error *err)
{
	_cleanup_free_ bool *wanted = calloc(config->generator_count + 1, sizeof(*wanted));
	_cleanup_free_ bool *needed = calloc(config->generator_count + 1, sizeof(*needed));
	struct planner planner = {.config = config,
				  .store_dirfd = store_dirfd,
				  .options = options,
				  .report = report,
				  .plan = plan,
				  .wanted = wanted,
				  .needed = needed};
	int r;

	plan->config = config;
	plan->shared = calloc(config->generator_count + 1, sizeof(*plan->shared));
	if (!wanted || !needed || !plan->shared)
		return error_no_memory(err);
	for (size_t i = 0; i < config->generator_count; i++)
		plan->shared[i] = PLAN_NONE;
	r = wanted_mark(&planner, err);
	if (r == 0)
		r = shared_visit(&planner, err);
	return r < 0 ? r : machines_visit(&planner, err);
}

void plan_destroy(struct plan *plan)
{
	free(plan->jobs);
	free(plan->shared);
	*plan = (struct plan){0};
}
