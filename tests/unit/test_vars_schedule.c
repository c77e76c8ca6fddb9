/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "vars/generate/schedule.h"

/* An endless wait fails the test. */
#define WAIT_SECONDS 20

static const char declaration[] = "machines: {m: {}}\n"
				  "generators:\n"
				  "  first: {machines: [m], files: {it: {}}, script: x}\n"
				  "  second: {machines: [m], files: {it: {}}, script: x,\n"
				  "           dependencies: [first]}\n"
				  "  third: {machines: [m], files: {it: {}}, script: x}\n";

enum {
	FIRST,
	SECOND,
	THIRD,
	JOBS
};

struct fixture {
	struct config config;
	struct vars_job jobs[JOBS];
	struct plan plan;
	struct schedule schedule;
};

static void fixture_make(struct fixture *fixture)
{
	static const char *const names[JOBS] = {"first", "second", "third"};
	_cleanup_error_ struct error err = {0};

	*fixture = (struct fixture){0};
	assert_success(config_load_text(declaration, strlen(declaration), "vmcred.yaml",
					&fixture->config, &err));
	for (size_t i = 0; i < JOBS; i++)
		fixture->jobs[i] = (struct vars_job){
			.generator = config_generator_find(&fixture->config, names[i], NULL),
			.machine = fixture->config.machines[0].name,
		};
	fixture->plan =
		(struct plan){.config = &fixture->config, .jobs = fixture->jobs, .count = JOBS};
	assert_success(schedule_begin(&fixture->schedule, &fixture->plan, &err));
}

static void fixture_release(struct fixture *fixture)
{
	schedule_destroy(&fixture->schedule);
	config_destroy(&fixture->config);
}

/* Takes the next job and stages it with new values. */
static void job_stage(struct schedule *schedule, size_t wanted)
{
	size_t index = JOBS;

	assert_true(schedule_take(schedule, &index));
	assert_int_equal(index, wanted);
	schedule_stage(schedule, index, calloc(1, sizeof(struct value)));
}

static void job_waits_for_its_dependencies_only(void **state)
{
	struct fixture fixture;
	size_t first = JOBS, staged[SCHEDULE_STAGED_MAX];

	(void)state;
	fixture_make(&fixture);
	assert_true(schedule_take(&fixture.schedule, &first));
	assert_int_equal(first, FIRST);
	job_stage(&fixture.schedule, THIRD);
	schedule_stage(&fixture.schedule, FIRST, calloc(1, sizeof(struct value)));
	assert_non_null(schedule_values(&fixture.schedule, FIRST));
	job_stage(&fixture.schedule, SECOND);
	assert_null(schedule_values(&fixture.schedule, FIRST));
	assert_int_equal(schedule_staged_take(&fixture.schedule, staged), JOBS);
	fixture_release(&fixture);
}

static void dependents_of_a_dropped_job_do_not_wait(void **state)
{
	struct fixture fixture;
	struct error failure = {0}, err = {0};
	size_t first = JOBS, next, staged[SCHEDULE_STAGED_MAX];

	(void)state;
	fixture_make(&fixture);
	assert_true(schedule_take(&fixture.schedule, &first));
	job_stage(&fixture.schedule, THIRD);
	assert_int_equal(schedule_staged_take(&fixture.schedule, staged), 1);
	error_set(&failure, VMCRED_FAILED, "the disk is full");
	schedule_fail(&fixture.schedule, THIRD, &failure);
	/* It is staged after the failure, before its dependents were started. */
	schedule_stage(&fixture.schedule, first, calloc(1, sizeof(struct value)));
	assert_int_equal(schedule_staged_take(&fixture.schedule, staged), 1);
	schedule_drop(&fixture.schedule, first);
	alarm(WAIT_SECONDS);
	assert_false(schedule_take(&fixture.schedule, &next));
	alarm(0);
	assert_error(schedule_failure(&fixture.schedule, &err), VMCRED_FAILED, "the disk is full");
	fixture_release(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_waits_for_its_dependencies_only),
		cmocka_unit_test(dependents_of_a_dropped_job_do_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
