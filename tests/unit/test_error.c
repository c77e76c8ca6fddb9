/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <string.h>

static void each_caller_adds_what_it_was_doing_in_front(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(
		error_set(&err, VMCRED_INTEGRITY, "the tag of \"%s\" does not match", "data"),
		-VMCRED_INTEGRITY);
	assert_int_equal(error_wrap(&err, "vars/x/secret"), -VMCRED_INTEGRITY);
	assert_int_equal(error_wrap(&err, "decrypting"), -VMCRED_INTEGRITY);
	assert_error(error_hint(&err, "restore it"), VMCRED_INTEGRITY,
		     "decrypting: vars/x/secret: the tag of \"data\" does not match: restore it");
}

static void a_file_that_is_not_there_has_the_code_missing(void **state)
{
	struct error err = {0};

	(void)state;
	assert_error(error_set_errno(&err, ENOENT, "opening %s", "x"), VMCRED_MISSING,
		     "opening x: No such file or directory");
	assert_error(error_set_errno(&err, EACCES, "opening %s", "x"), VMCRED_FAILED,
		     "opening x: Permission denied");
}

static void the_last_hint_wins(void **state)
{
	struct error err = {0};

	(void)state;
	error_set(&err, VMCRED_USAGE, "wrong");
	error_hint(&err, "first");
	assert_error(error_hint(&err, "second"), VMCRED_USAGE, "wrong: second");
}

static void an_error_without_memory_has_a_text_and_can_be_cleared(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(error_no_memory(&err), -VMCRED_FAILED);
	assert_error(error_wrap(&err, "reading"), VMCRED_FAILED, "reading: out of memory");
	error_no_memory(&err);
	error_clear(&err);
	assert_null(err.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_caller_adds_what_it_was_doing_in_front),
		cmocka_unit_test(a_file_that_is_not_there_has_the_code_missing),
		cmocka_unit_test(the_last_hint_wins),
		cmocka_unit_test(an_error_without_memory_has_a_text_and_can_be_cleared),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
