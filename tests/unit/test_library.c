/* SPDX-License-Identifier: Apache-2.0 */
/* Links only the shared library, as its users do: it cannot call what the library does not export.
 */
#include <string.h>

#include <vmcred.h>

#include "filter.h"

static void the_version_is_that_of_the_project(void **state)
{
	(void)state;
	assert_string_equal(vmcred_version(), EXPECTED_VERSION);
}

static void a_value_becomes_the_oem_string_that_systemd_reads(void **state)
{
	static const struct {
		const char *value;
		size_t size;
		const char *expected;
	} cases[] = {
		{"hunter2", 7, "io.systemd.credential:NAME=hunter2"},
		{"a\n", 2, "io.systemd.credential.binary:NAME=YQo="},
		{"\0", 1, "io.systemd.credential.binary:NAME=AA=="},
		{"\xff", 1, "io.systemd.credential.binary:NAME=/w=="},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmcred_secret *text = NULL;
		struct vmcred_error *error = NULL;

		assert_int_equal(vmcred_oem_string_create("NAME", cases[i].value, cases[i].size,
							  &text, &error),
				 0);
		assert_null(error);
		assert_int_equal(vmcred_secret_size(text), strlen(cases[i].expected));
		assert_memory_equal(vmcred_secret_data(text), cases[i].expected,
				    strlen(cases[i].expected));
		vmcred_secret_free(text);
	}
}

static void a_wrong_name_is_an_error_object_with_code_and_text(void **state)
{
	struct vmcred_secret *text = NULL;
	struct vmcred_error *error = NULL;

	(void)state;
	assert_int_equal(vmcred_oem_string_create("A:B", "x", 1, &text, &error), -VMCRED_USAGE);
	assert_null(text);
	assert_int_equal(vmcred_error_code(error), VMCRED_USAGE);
	assert_string_equal(vmcred_error_message(error),
			    "the credential name \"A:B\" contains ':'");
	vmcred_error_free(error);
}

static void a_missing_identity_file_is_an_error_object(void **state)
{
	struct vmcred_secret *value = NULL;
	struct vmcred_error *error = NULL;

	(void)state;
	assert_int_equal(vmcred_sops_decrypt_file("/nonexistent/document", "/nonexistent/identity",
						  &value, &error),
			 -VMCRED_MISSING);
	assert_null(value);
	assert_int_equal(vmcred_error_code(error), VMCRED_MISSING);
	assert_non_null(strstr(vmcred_error_message(error), "/nonexistent/identity"));
	vmcred_error_free(error);
	vmcred_error_free(NULL);
	vmcred_secret_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_version_is_that_of_the_project),
		cmocka_unit_test(a_value_becomes_the_oem_string_that_systemd_reads),
		cmocka_unit_test(a_wrong_name_is_an_error_object_with_code_and_text),
		cmocka_unit_test(a_missing_identity_file_is_an_error_object),
	};

	return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
