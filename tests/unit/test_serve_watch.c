/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <time.h>

#include "activate/serve/watch.h"

/* A file that changed so many seconds ago. */
static struct stat file_aged(time_t seconds)
{
	struct stat file = {.st_dev = 1, .st_ino = 2, .st_size = 3};

	clock_gettime(CLOCK_REALTIME, &file.st_ctim);
	file.st_ctim.tv_sec -= seconds;
	return file;
}

static void a_file_that_was_not_seen_is_changed_and_an_old_one_is_the_same_from_then_on(
	void **state)
{
	struct serve_watch watch = {0};
	struct stat file = file_aged(10);

	(void)state;
	assert_int_equal(serve_watch_look(&watch, &file), SERVE_CHANGED);
	assert_int_equal(serve_watch_look(&watch, &file), SERVE_SAME);
}

/* In the future, by less than a clock is set back: the test may take its time. */
static void a_file_that_has_just_changed_is_in_doubt_since_its_clock_ticks_slowly(void **state)
{
	struct serve_watch watch = {0};
	struct stat file = file_aged(0);

	(void)state;
	file.st_ctim.tv_nsec += 900L * 1000 * 1000;
	file.st_ctim.tv_sec += file.st_ctim.tv_nsec / 1000000000;
	file.st_ctim.tv_nsec %= 1000000000;
	assert_int_equal(serve_watch_look(&watch, &file), SERVE_CHANGED);
	assert_int_equal(serve_watch_look(&watch, &file), SERVE_DOUBT);
}

static void a_file_from_the_future_is_not_in_doubt_until_then(void **state)
{
	struct serve_watch watch = {0};
	struct stat file = file_aged(-3600);

	(void)state;
	assert_int_equal(serve_watch_look(&watch, &file), SERVE_CHANGED);
	assert_int_equal(serve_watch_look(&watch, &file), SERVE_SAME);
}

static void whatever_differs_makes_it_another_file(void **state)
{
	const struct stat file = file_aged(10);
	struct stat others[6];

	(void)state;
	for (size_t i = 0; i < 6; i++)
		others[i] = file;
	others[0].st_dev++;
	others[1].st_ino++;
	others[2].st_size++;
	others[3].st_mtim.tv_sec++;
	others[4].st_mtim.tv_nsec++;
	others[5].st_ctim.tv_sec--;
	for (size_t i = 0; i < 6; i++) {
		struct serve_watch watch = {0};

		assert_int_equal(serve_watch_look(&watch, &file), SERVE_CHANGED);
		assert_int_equal(serve_watch_look(&watch, &others[i]), SERVE_CHANGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_file_that_was_not_seen_is_changed_and_an_old_one_is_the_same_from_then_on),
		cmocka_unit_test(
			a_file_that_has_just_changed_is_in_doubt_since_its_clock_ticks_slowly),
		cmocka_unit_test(a_file_from_the_future_is_not_in_doubt_until_then),
		cmocka_unit_test(whatever_differs_makes_it_another_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
