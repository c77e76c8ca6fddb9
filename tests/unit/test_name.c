/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "base/name.h"

static void credential_names_that_systemd_accepts_are_valid(void **state)
{
	static const char *const names[] = {"a",   "HOST-API-KEY", "vmm.notify_socket",
					    "..x", "a b",          "%i"};
	struct error err = {0};
	char longest[CREDENTIAL_NAME_SIZE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_success(credential_name_check(names[i], &err));
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_success(credential_name_check(longest, &err));
}

static void credential_names_that_systemd_rejects_are_errors(void **state)
{
	static const struct {
		const char *name, *error;
	} cases[] = {
		{"", "the credential name \"\" is empty"},
		{".", "the credential name \".\" is a directory"},
		{"..", "the credential name \"..\" is a directory"},
		{"a/b", "the credential name \"a/b\" contains '/'"},
		{"a:b", "the credential name \"a:b\" contains ':'"},
		{"a\nb", "the credential name \"a\\x0ab\" contains a control character"},
		{"\x7f", "the credential name \"\\x7f\" contains a control character"},
		{"\xc3\xa4", "the credential name \"\\xc3\\xa4\" contains a non-ASCII byte"},
	};
	struct error err = {0};
	char longer[CREDENTIAL_NAME_SIZE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(credential_name_check(cases[i].name, &err), VMCRED_USAGE,
			     cases[i].error);
	memset(longer, '\n', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(credential_name_check(longer, &err), -VMCRED_USAGE);
	assert_non_null(strstr(err.text, "...\" is longer than 255 bytes"));
	error_clear(&err);
}

static void a_store_name_cannot_escape_its_directory(void **state)
{
	static const struct {
		const char *name, *error;
	} cases[] = {
		{"", "the machine name \"\" is empty"},
		{"..", "the machine name \"..\" starts with '.'"},
		{".hidden", "the machine name \".hidden\" starts with '.'"},
		{"a/../b",
		 "the machine name \"a/../b\" may only contain letters, digits, '.', '_' and '-'"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(store_name_check("machine", cases[i].name, &err), VMCRED_USAGE,
			     cases[i].error);
	assert_success(store_name_check("machine", "test-vm_2.example", &err));
}

static void a_mistyped_name_gets_the_nearest_known_name(void **state)
{
	static const char *const known[] = {"loadCredentials", "credentialFiles", "command", "bob",
					    NULL};
	static const struct {
		const char *name, *nearest;
	} cases[] = {
		{"credentialFile", "credentialFiles"},
		{"comand", "command"},
		{"loadcredential", "loadCredentials"},
		{"command", "command"},
		{"platform", NULL},
		{"zoe", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *nearest = name_nearest(cases[i].name, known);

		if (cases[i].nearest)
			assert_string_equal(nearest, cases[i].nearest);
		else
			assert_null(nearest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credential_names_that_systemd_accepts_are_valid),
		cmocka_unit_test(credential_names_that_systemd_rejects_are_errors),
		cmocka_unit_test(a_store_name_cannot_escape_its_directory),
		cmocka_unit_test(a_mistyped_name_gets_the_nearest_known_name),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
