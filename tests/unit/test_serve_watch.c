/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <time.h>

#include "activate/serve/source.h"

/* A file that changed this many seconds ago. */
static struct stat file_aged(time_t seconds)
{
	struct stat file = {.st_dev = 1, .st_ino = 2, .st_size = 3};

	clock_gettime(CLOCK_REALTIME, &file.st_ctim);
	file.st_ctim.tv_sec -= seconds;
	return file;
}

static void a_file_has_changed_at_the_first_check_and_is_the_same_at_the_second(void **state)
{
	struct serve_watch watch = {0};
	struct stat file = file_aged(10);

	(void)state;
	assert_int_equal(serve_watch_check(&watch, &file), SERVE_CHANGED);
	assert_int_equal(serve_watch_check(&watch, &file), SERVE_SAME);
}

/* Slightly in the future, so that a slow test still finds it fresh. */
static void a_file_that_has_just_changed_may_change_again_unnoticed(void **state)
{
	struct serve_watch watch = {0};
	struct stat file = file_aged(0);

	(void)state;
	file.st_ctim.tv_nsec += 900L * 1000 * 1000;
	file.st_ctim.tv_sec += file.st_ctim.tv_nsec / 1000000000;
	file.st_ctim.tv_nsec %= 1000000000;
	assert_int_equal(serve_watch_check(&watch, &file), SERVE_CHANGED);
	assert_int_equal(serve_watch_check(&watch, &file), SERVE_UNSURE);
}

static void a_file_changed_in_the_far_future_is_settled(void **state)
{
	struct serve_watch watch = {0};
	struct stat file = file_aged(-3600);

	(void)state;
	assert_int_equal(serve_watch_check(&watch, &file), SERVE_CHANGED);
	assert_int_equal(serve_watch_check(&watch, &file), SERVE_SAME);
}

static void a_difference_in_any_attribute_is_a_change(void **state)
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

		assert_int_equal(serve_watch_check(&watch, &file), SERVE_CHANGED);
		assert_int_equal(serve_watch_check(&watch, &others[i]), SERVE_CHANGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_file_has_changed_at_the_first_check_and_is_the_same_at_the_second),
		cmocka_unit_test(a_file_that_has_just_changed_may_change_again_unnoticed),
		cmocka_unit_test(a_file_changed_in_the_far_future_is_settled),
		cmocka_unit_test(a_difference_in_any_attribute_is_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
