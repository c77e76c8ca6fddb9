/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/cleanup.h"
#include "base/program.h"

static int shell(const char *script, struct error *err)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	const struct program program = {
		.file = "sh", .argv = argv, .directory = "/", .fds = PROGRAM_OUR_FDS};

	return program_run(&program, "the script", err);
}

static void an_exit_status_is_reported(void **state)
{
	_cleanup_error_ struct error err = {0};

	(void)state;
	assert_int_equal(shell("[ \"$PWD\" = / ]", &err), 0);
	assert_int_equal(shell("exit 3", &err), -VMCRED_FAILED);
	assert_string_equal(err.text, "the script exited with code 3");
	error_clear(&err);
	assert_int_equal(shell("kill -TERM $$", &err), -VMCRED_FAILED);
	assert_string_equal(err.text, "the script was killed by SIGTERM");
}

static void only_absolute_directories_are_searched(void **state)
{
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *path = NULL;

	(void)state;
	assert_int_equal(setenv("PATH", "bin:.::/nonexistent:/bin", 1), 0);
	assert_int_equal(program_find("sh", &path, &err), 0);
	assert_string_equal(path, "/bin/sh");
	free(pointer_release(&path));
	assert_int_equal(setenv("PATH", "bin:.", 1), 0);
	assert_int_equal(program_find("sh", &path, &err), -VMCRED_FAILED);
	assert_string_equal(err.text, "sh is not installed");
	assert_null(path);
	error_clear(&err);
	assert_int_equal(program_find("/etc/passwd", &path, &err), -VMCRED_FAILED);
	assert_string_equal(err.text, "/etc/passwd is not executable");
}

static void a_version_is_the_number_after_the_prefix(void **state)
{
	(void)state;
	assert_int_equal(setenv("PATH", "/usr/bin:/bin", 1), 0);
	assert_true(program_version("bash", "GNU bash, version ") >= 4);
	assert_int_equal(program_version("bash", "another prefix "), 0);
	assert_int_equal(program_version("/nonexistent", ""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exit_status_is_reported),
		cmocka_unit_test(only_absolute_directories_are_searched),
		cmocka_unit_test(a_version_is_the_number_after_the_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
