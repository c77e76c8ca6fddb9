/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>

static void each_caller_prepends_its_operation(void **state)
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

static void enoent_has_the_code_missing_and_other_errnos_failed(void **state)
{
	struct error err = {0};

	(void)state;
	assert_error(error_set_errno(&err, ENOENT, "opening %s", "x"), VMCRED_MISSING,
		     "opening x: No such file or directory");
	assert_error(error_set_errno(&err, EACCES, "opening %s", "x"), VMCRED_FAILED,
		     "opening x: Permission denied");
}

static void a_later_hint_replaces_an_earlier_one(void **state)
{
	struct error err = {0};

	(void)state;
	error_set(&err, VMCRED_USAGE, "wrong");
	error_hint(&err, "first");
	assert_error(error_hint(&err, "second"), VMCRED_USAGE, "wrong: second");
}

static void the_out_of_memory_error_has_a_text_and_can_be_cleared(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(error_no_memory(&err), -VMCRED_FAILED);
	assert_error(error_wrap(&err, "reading"), VMCRED_FAILED, "reading: out of memory");
	error_no_memory(&err);
	error_clear(&err);
	assert_null(err.text);
}

static void a_moved_error_keeps_its_text_and_hint(void **state)
{
	struct error err = {0}, from = {0};

	(void)state;
	error_set(&err, VMCRED_USAGE, "old");
	error_set(&from, VMCRED_MISSING, "new");
	error_hint(&from, "hint");
	assert_error(error_move(&err, &from), VMCRED_MISSING, "new: hint");
	assert_null(from.text);
}

static void the_error_of_a_cleanup_stands_before_the_first_error(void **state)
{
	struct error err = {0}, cleanup = {0};

	(void)state;
	assert_int_equal(error_add(&err, &cleanup), 0);
	error_set(&cleanup, VMCRED_FAILED, "wiping it");
	assert_int_equal(error_add(&err, &cleanup), -VMCRED_FAILED);
	assert_null(cleanup.text);
	error_clear(&err);
	error_set(&err, VMCRED_MISSING, "no editor");
	error_hint(&err, "install one");
	assert_int_equal(error_add(&err, &cleanup), -VMCRED_MISSING);
	error_set(&cleanup, VMCRED_FAILED, "it moved");
	error_hint(&cleanup, "look for it");
	assert_error(error_add(&err, &cleanup), VMCRED_MISSING,
		     "it moved: look for it; before that: no editor: install one");
	assert_null(cleanup.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_caller_prepends_its_operation),
		cmocka_unit_test(enoent_has_the_code_missing_and_other_errnos_failed),
		cmocka_unit_test(a_later_hint_replaces_an_earlier_one),
		cmocka_unit_test(a_moved_error_keeps_its_text_and_hint),
		cmocka_unit_test(the_error_of_a_cleanup_stands_before_the_first_error),
		cmocka_unit_test(the_out_of_memory_error_has_a_text_and_can_be_cleared),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
