/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/generate/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "vars/check/check.h"

struct planner {
	const struct config *config;
	int store_dirfd;
	const struct vars_generate_options *options;
	const struct report *report;
	struct plan *plan;
	bool *wanted; /* for each generator: requested */
	bool *needed; /* for each generator: a requested one depends on it */
};

static void job_report(const struct planner *planner, enum report_level level,
		       const struct vars_job *job, const char *text)
{
	report_message(planner->report, level, "%s%s%s: %s", job->generator->name,
		       job->machine ? " for " : "", job->machine ? job->machine : "", text);
}

/* The job of a generator for a machine, or its shared job, among those before `end`, where the
 * machine's jobs end. PLAN_NONE: its files are in the store. */
static size_t job_find(const struct plan *plan, size_t end, const char *machine,
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

size_t plan_dependency(const struct plan *plan, size_t index, const char *name)
{
	const char *machine = plan->jobs[index].machine;

	return job_find(plan, index, machine, config_generator_find(plan->config, name, machine));
}

static bool dependency_is_planned(const struct planner *planner, const struct vars_job *job)
{
	const struct plan *plan = planner->plan;

	for (char **name = job->generator->dependencies; name && *name; name++) {
		if (job_find(plan, plan->count, job->machine,
			     config_generator_find(planner->config, *name, job->machine)) !=
		    PLAN_NONE)
			return true;
	}
	return false;
}

/* Counts the generator's files in the store; `*missing` is the name of one that does not exist. */
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

static int overdue_check(const struct planner *planner, struct vars_job *job, struct error *err)
{
	_cleanup_free_ char *detail = NULL;
	int r = generator_rotation_check(planner->store_dirfd, job->machine, job->generator,
					 &detail, err);

	job->reason = VARS_REASON_OVERDUE;
	return r;
}

/* Returns 1 and the reason if existing files are outdated. */
static int outdated_check(const struct planner *planner, struct vars_job *job, struct error *err)
{
	int r = validation_changed(planner->store_dirfd, job->machine, job->generator, err);

	job->reason = VARS_REASON_VALIDATION;
	if (r == 1)
		job_report(planner, REPORT_WARNING, job,
			   "regenerating its files because its validation has changed");
	for (size_t i = 0; r == 0 && i < job->generator->file_count; i++) {
		const struct vars_location location = {job->machine, job->generator,
						       &job->generator->files[i]};
		_cleanup_free_ char *detail = NULL, *text = NULL;

		r = certificate_check(planner->config, planner->store_dirfd, &location, &detail,
				      err);
		if (r <= 0)
			continue;
		job->reason = VARS_REASON_EXPIRY;
		text = text_format("regenerating its files because of the certificate %s: %s",
				   location.file->name, detail);
		if (!text)
			return error_no_memory(err);
		job_report(planner, REPORT_WARNING, job, text);
	}
	return r != 0 || !planner->options->overdue ? r : overdue_check(planner, job, err);
}

/* Returns 1 and the reason if the generator runs, else 0. */
static int job_decide(const struct planner *planner, struct vars_job *job, struct error *err)
{
	const size_t index = (size_t)(job->generator - planner->config->generators);
	const bool planned = dependency_is_planned(planner, job);
	const bool requested = planner->wanted[index] && planner->options->regenerate;
	const char *missing = NULL;
	int present = present_count(planner, job, &missing, err);

	if (present < 0)
		return present;
	if (!planner->wanted[index] && !planner->needed[index] && !planned)
		return 0;
	/* A script creates all its files at once: adding one would replace the others. */
	if (missing && present > 0 && !requested && !planned) {
		error_set(err, VMCRED_FAILED,
			  "the generator %s has some of its files, but not \"%s\"",
			  job->generator->name, missing);
		return error_hint(err,
				  "store it with `vmcred set %s %s/%s`, or replace all files with "
				  "`vmcred generate --generator %s --regenerate`",
				  job->machine ? job->machine : "MACHINE", job->generator->name,
				  missing, job->generator->name);
	}
	if (!missing && !planned && !requested)
		return outdated_check(planner, job, err);
	job->reason = missing   ? VARS_REASON_MISSING
		      : planned ? VARS_REASON_DEPENDENCY
				: VARS_REASON_REQUESTED;
	return 1;
}

static int job_add(struct planner *planner, const struct config_generator *generator,
		   const char *machine, struct error *err)
{
	struct vars_job job = {.generator = generator, .machine = machine};
	struct plan *plan = planner->plan;
	int r = job_decide(planner, &job, err);

	if (r == 0)
		job_report(planner, REPORT_INFO, &job, "all files exist");
	if (r <= 0)
		return r;
	if (array_grow(&plan->jobs, plan->count, &plan->capacity, sizeof(job), err) < 0)
		return -(int)err->code;
	if (!machine)
		plan->shared[generator - planner->config->generators] = plan->count;
	plan->jobs[plan->count++] = job;
	return 0;
}

static int machine_add(struct planner *planner, const struct config_machine *machine,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < machine->generator_count; i++)
		r = job_add(planner, &planner->config->generators[machine->generators[i]],
			    machine->name, err);
	return r;
}

static bool is_among(const char *name, char *const *names, size_t count)
{
	while (count > 0) {
		if (strcmp(names[--count], name) == 0)
			return true;
	}
	return false;
}

static int jobs_add(struct planner *planner, struct error *err)
{
	const struct config *config = planner->config;
	char *const *names = planner->options->machines;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->generator_count; i++) {
		const struct config_generator *generator =
			&config->generators[config->generator_order[i]];

		if (generator->share)
			r = job_add(planner, generator, NULL, err);
	}
	for (size_t i = 0; r == 0 && !names && i < config->machine_count; i++)
		r = machine_add(planner, &config->machines[i], err);
	for (size_t i = 0; r == 0 && names && names[i]; i++) {
		const struct config_machine *machine = config_machine_get(config, names[i], err);

		if (!machine)
			return -(int)err->code;
		if (!is_among(names[i], names, i))
			r = machine_add(planner, machine, err);
	}
	return r;
}

/* Marks all dependencies, direct or not, in all variants; the declaration has no cycles. */
static int needed_mark(struct planner *planner, const struct config_generator *generator,
		       struct error *err)
{
	int r = 0;

	for (char **name = generator->dependencies; r == 0 && name && *name; name++) {
		const struct config_generator *dependency =
			config_generator_get(planner->config, *name, err);

		if (!dependency)
			return -(int)err->code;
		for (size_t i = 0; r == 0 && i < dependency->variants; i++) {
			bool *needed =
				&planner->needed[&dependency[i] - planner->config->generators];

			if (!*needed) {
				*needed = true;
				r = needed_mark(planner, &dependency[i], err);
			}
		}
	}
	return r;
}

static int wanted_mark(struct planner *planner, struct error *err)
{
	const struct config_generator *generator;
	int r = 0;

	if (!planner->options->generator) {
		memset(planner->wanted, true, planner->config->generator_count);
		return 0;
	}
	generator = config_generator_get(planner->config, planner->options->generator, err);
	if (!generator)
		return -(int)err->code;
	for (size_t i = 0; r == 0 && i < generator->variants; i++) {
		planner->wanted[&generator[i] - planner->config->generators] = true;
		r = needed_mark(planner, &generator[i], err);
	}
	return r;
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
	return r < 0 ? r : jobs_add(&planner, err);
}

void plan_destroy(struct plan *plan)
{
	free(plan->jobs);
	free(plan->shared);
	*plan = (struct plan){0};
}
