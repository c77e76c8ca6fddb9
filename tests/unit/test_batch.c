/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/batch.h"

#define ITEMS 500

/* More than can be done in the moment in which the caller's thread stops them. */
#define VERY_MANY 1000000

struct log {
	atomic_int worked;
	size_t taken;    /* items whose results were taken, in order */
	size_t fails_at; /* items from here on fail */
	size_t stops_at; /* taking this one stops the batch */
	size_t failed;
};

static int work(void *context, size_t item, struct error *err)
{
	struct log *log = context;
	const struct timespec moment = {.tv_nsec = (long)(item * 7919 % 13) * 10000};

	atomic_fetch_add(&log->worked, 1);
	/* Later items are done before earlier ones. */
	nanosleep(&moment, NULL);
	return item < log->fails_at ? 0 : error_set(err, VMCRED_FAILED, "item %zu", item);
}

static int done(void *context, size_t item, const struct error *failure, struct error *err)
{
	struct log *log = context;
	char expected[32];

	assert_int_equal(item, log->taken);
	log->taken++;
	snprintf(expected, sizeof(expected), "item %zu", item);
	if (failure) {
		assert_string_equal(failure->text, expected);
		log->failed++;
	}
	return item == log->stops_at ? error_set(err, VMCRED_USAGE, "stopped") : 0;
}

static const unsigned int thread_counts[] = {1, 2, 7, 1000};

#define THREAD_COUNTS (sizeof(thread_counts) / sizeof(thread_counts[0]))

static void results_come_in_order_whatever_the_threads_did(void **state)
{
	(void)state;
	for (size_t i = 0; i < THREAD_COUNTS; i++) {
		struct log log = {.fails_at = 400, .stops_at = ITEMS};
		const struct batch batch = {.context = &log, .work = work, .done = done};
		struct error err = {0};

		assert_success(batch_run(&batch, ITEMS, thread_counts[i], &err));
		assert_int_equal(log.worked, ITEMS);
		assert_int_equal(log.taken, ITEMS);
		assert_int_equal(log.failed, 100);
	}
}

static void a_batch_that_is_stopped_begins_nothing_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < THREAD_COUNTS; i++) {
		struct log log = {.fails_at = VERY_MANY, .stops_at = 0};
		const struct batch batch = {.context = &log, .work = work, .done = done};
		struct error err = {0};

		assert_error(batch_run(&batch, VERY_MANY, thread_counts[i], &err), VMCRED_USAGE,
			     "stopped");
		assert_int_equal(log.taken, 1);
		assert_in_range(log.worked, 1, VERY_MANY - 1);
	}
}

static void without_a_taker_the_first_failure_is_the_batchs(void **state)
{
	(void)state;
	for (size_t i = 0; i < THREAD_COUNTS; i++) {
		struct log log = {.fails_at = 20, .stops_at = ITEMS};
		const struct batch batch = {.context = &log, .work = work};
		struct error err = {0};

		assert_error(batch_run(&batch, ITEMS, thread_counts[i], &err), VMCRED_FAILED,
			     "item 20");
	}
}

static void nothing_to_do_is_done(void **state)
{
	const struct batch batch = {.work = work, .done = done};
	struct error err = {0};

	(void)state;
	assert_success(batch_run(&batch, 0, 4, &err));
	assert_in_range(batch_threads(), 1, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_come_in_order_whatever_the_threads_did),
		cmocka_unit_test(a_batch_that_is_stopped_begins_nothing_more),
		cmocka_unit_test(without_a_taker_the_first_failure_is_the_batchs),
		cmocka_unit_test(nothing_to_do_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
