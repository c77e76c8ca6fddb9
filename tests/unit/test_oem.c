/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/file.h"
#include "oem/oem.h"

/* Keeps the last warning. */
static char warned[512];

static void warning_keep(const struct report *report, enum report_level level, const char *text)
{
	(void)report;
	if (level == REPORT_WARNING)
		snprintf(warned, sizeof(warned), "%s", text);
}

static const struct report keeping = {.level = REPORT_DEBUG, .line = warning_keep};

static const struct {
	const char *value;
	size_t size;
	enum oem_encoding encoding;
	const char *string;
} values[] = {
	{"secret", 6, OEM_TEXT, "io.systemd.credential:NAME=secret"},
	{"", 0, OEM_TEXT, "io.systemd.credential:NAME="},
	{" two  spaces ", 13, OEM_TEXT, "io.systemd.credential:NAME= two  spaces "},
	{"a=b,\"c\"[d]:/", 12, OEM_TEXT, "io.systemd.credential:NAME=a=b,\"c\"[d]:/"},
	{"gr\xc3\xbc\xc3\x9f", 6, OEM_TEXT, "io.systemd.credential:NAME=gr\xc3\xbc\xc3\x9f"},
	{"line\n", 5, OEM_BINARY, "io.systemd.credential.binary:NAME=bGluZQo="},
	{"a\0b", 3, OEM_BINARY, "io.systemd.credential.binary:NAME=YQBi"},
	{"\xff", 1, OEM_BINARY, "io.systemd.credential.binary:NAME=/w=="},
	{"\xed\xa0\x80", 3, OEM_BINARY, "io.systemd.credential.binary:NAME=7aCA"},
	{"\t", 1, OEM_BINARY, "io.systemd.credential.binary:NAME=CQ=="},
	{"\x7f", 1, OEM_BINARY, "io.systemd.credential.binary:NAME=fw=="},
};

static void a_value_that_cannot_be_text_becomes_base64(void **state)
{
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct secret string = {0};
		enum oem_encoding encoding;

		assert_success(oem_string_encode("NAME", span_of(values[i].value, values[i].size),
						 &string, &encoding, &err));
		assert_int_equal(encoding, values[i].encoding);
		assert_span_equal(secret_span(&string), values[i].string);
		secret_destroy(&string);
	}
}

static const struct {
	const char *name, *line;
} bad_names[] = {
	{"", "the credential name \"\" is empty"},
	{"a:b", "the credential name \"a:b\" contains ':'"},
	{"a/b", "the credential name \"a/b\" contains '/'"},
	{"a\nb", "the credential name \"a\\x0ab\" contains a control character"},
	{"..", "the credential name \"..\" is a directory"},
	{"a=b", "credential name \"a=b\" must not contain '=': an OEM string ends the name there"},
};

static void a_name_that_systemd_would_drop_is_an_error(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
		assert_error(
			oem_list_add_credential(&list, bad_names[i].name, span_of("v", 1), &err),
			VMCRED_USAGE, bad_names[i].line);
	assert_int_equal(list.count, 0);
	oem_list_destroy(&list);
}

static const struct {
	const char *text, *line;
	size_t size;
} bad_literals[] = {
	{"", "platformOEMStrings: an OEM string is empty, which would end the table", 0},
	{"a\0b", "platformOEMStrings: an OEM string contains a NUL byte", 3},
	{"io.systemd.credential:NAME",
	 "platformOEMStrings: an OEM string that starts with \"io.systemd.credential\" has no '='",
	 26},
	{"io.systemd.credential:=x", "platformOEMStrings: the credential name \"\" is empty", 24},
	{"io.systemd.credential.binary:a:b=x",
	 "platformOEMStrings: the credential name \"a:b\" contains ':'", 34},
};

static void a_literal_that_would_not_arrive_is_an_error(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad_literals) / sizeof(bad_literals[0]); i++)
		assert_error(
			oem_list_add_literal(&list, OEM_STATIC,
					     span_of(bad_literals[i].text, bad_literals[i].size),
					     NULL, &err),
			VMCRED_USAGE, bad_literals[i].line);
	assert_int_equal(list.count, 0);
	oem_list_destroy(&list);
}

static void the_name_and_size_of_a_literal_credential_are_found(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	assert_success(
		oem_list_add_literal(&list, OEM_ARGUMENTS, span_of_text("CLUSTER=x"), NULL, &err));
	assert_success(oem_list_add_literal(
		&list, OEM_ARGUMENTS, span_of_text("io.systemd.credential:A=1=2"), NULL, &err));
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS,
					    span_of_text("io.systemd.credential.binary:B=YQBi"),
					    NULL, &err));
	assert_null(list.strings[0].name);
	assert_int_equal(list.strings[0].encoding, OEM_PLAIN);
	assert_string_equal(list.strings[1].name, "A");
	assert_int_equal(list.strings[1].value_size, 3);
	assert_string_equal(list.strings[2].name, "B");
	assert_int_equal(list.strings[2].encoding, OEM_BINARY);
	assert_int_equal(list.strings[2].value_size, 3);
	assert_int_equal(oem_list_values_size(&list), 6);
	oem_list_destroy(&list);
}

static void a_duplicate_name_is_an_error_whatever_its_origins(void **state)
{
	const struct span literal = span_of_text("io.systemd.credential:A=1");
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS, literal, NULL, &err));
	assert_error(
		oem_list_add_literal(&list, OEM_STATIC, literal, NULL, &err), VMCRED_USAGE,
		"duplicate credential A: in the VMM's arguments and in platformOEMStrings: rename "
		"or remove one: systemd in the guest would use only the first");
	assert_error(
		oem_list_add_credential(&list, "A", span_of("2", 1), &err), VMCRED_USAGE,
		"duplicate credential A: in the VMM's arguments and in credentialFiles: rename "
		"or remove one: systemd in the guest would use only the first");
	assert_success(oem_list_add_credential(&list, "B", span_of("2", 1), &err));
	assert_error(oem_list_add_credential(&list, "B", span_of("3", 1), &err), VMCRED_USAGE,
		     "duplicate credential B: in credentialFiles and in credentialFiles: rename or "
		     "remove one: systemd in the guest would use only the first");
	assert_success(strings_add(&list.elsewhere, "C", &err));
	assert_error(
		oem_list_add_credential(&list, "C", span_of("3", 1), &err), VMCRED_USAGE,
		"duplicate credential C: in the VMM's arguments and in credentialFiles: rename or "
		"remove one: systemd in the guest would use only the first");
	assert_int_equal(list.count, 2);
	oem_list_destroy(&list);
}

static void a_secret_in_the_declaration_gives_a_warning(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	warned[0] = '\0';
	assert_success(oem_list_add_literal(
		&list, OEM_STATIC,
		span_of_text("io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888"),
		&keeping, &err));
	assert_string_equal(warned, "");
	assert_success(oem_list_add_literal(
		&list, OEM_STATIC, span_of_text("io.systemd.credential:KEY=hush"), &keeping, &err));
	assert_string_equal(warned,
			    "platformOEMStrings contains the value of the credential KEY, which is "
			    "readable in git and in the Nix store: move it to credentialFiles");
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS,
					    span_of_text("\"io.systemd.credential:A=hush\""),
					    &keeping, &err));
	assert_string_equal(
		warned,
		"an OEM string in the VMM's arguments starts with '\"', which becomes part of it, "
		"so that systemd in the guest ignores the credential: remove the quotes");
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS, span_of_text("\"A=b\""), &keeping,
					    &err));
	assert_string_equal(warned,
			    "an OEM string in the VMM's arguments starts with '\"', which becomes "
			    "part of it: remove the quotes");
	warned[0] = '\0';
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS, span_of_text("A=\"b\""), &keeping,
					    &err));
	assert_string_equal(warned, "");
	oem_list_destroy(&list);
}

/* A plain string of `size` bytes. */
static void list_fill(struct oem_list *list, size_t size)
{
	struct error err = {0};
	char *text = malloc(size);

	assert_non_null(text);
	memset(text, 'x', size);
	assert_success(oem_list_add_literal(list, OEM_STATIC, span_of(text, size), NULL, &err));
	free(text);
}

static void a_table_of_the_largest_size_is_accepted(void **state)
{
	const size_t limit = oem_limit_max(OEM_LIMIT_TABLE);
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(limit, 61439);
	assert_int_equal(oem_list_table_size(&list), 0);
	list_fill(&list, limit - 7);
	assert_int_equal(oem_list_table_size(&list), limit);
	assert_success(oem_list_check(&list, &err));
	oem_list_destroy(&list);
	list_fill(&list, limit - 6);
	assert_error(
		oem_list_check(&list, &err), VMCRED_FAILED,
		"the OEM strings need 61440 bytes of the SMBIOS table; the limit is 61439 (64 KiB "
		"minus space for the hypervisor): the largest is a plain string with 61433 bytes");
	oem_list_destroy(&list);
}

static void a_table_holds_255_strings_but_not_256(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < 255; i++)
		list_fill(&list, 1);
	assert_success(oem_list_check(&list, &err));
	list_fill(&list, 1);
	assert_error(oem_list_check(&list, &err), VMCRED_FAILED,
		     "256 OEM strings; an SMBIOS table holds at most 255");
	oem_list_destroy(&list);
}

static void a_credential_of_one_mebibyte_is_accepted(void **state)
{
	struct oem_list list = {0};
	struct error err = {0};
	const size_t mebibyte = (size_t)1024 * 1024;
	char *value = calloc(1, mebibyte + 1);

	(void)state;
	assert_success(oem_list_add_credential(&list, "A", span_of(value, mebibyte), &err));
	assert_error(oem_list_add_credential(&list, "B", span_of(value, mebibyte + 1), &err),
		     VMCRED_FAILED,
		     "credential B: the value has 1048577 bytes; the limit is 1048576 "
		     "(systemd.exec(5))");
	assert_int_equal(list.count, 1);
	free(value);
	oem_list_destroy(&list);
}

static void an_api_body_of_51200_bytes_is_accepted(void **state)
{
	struct error err = {0};

	(void)state;
	assert_success(oem_limit_check(OEM_LIMIT_API_BODY, 51200, &err));
	assert_error(oem_limit_check(OEM_LIMIT_API_BODY, 51201, &err), VMCRED_FAILED,
		     "the API request with the OEM strings has 51201 bytes; the limit of Cloud "
		     "Hypervisor up to v53 is 51200 (later versions: 4 MiB)");
}

/* The declaration owns its texts, so they are not const. */
#define TEXT(text) ((char[]){text})

static char directory[] = "/tmp/vmcred-oem.XXXXXX";

static int directory_create(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int directory_remove(void **state)
{
	struct error err = {0};

	(void)state;
	return dir_remove_tree(AT_FDCWD, directory, false, &err);
}

static void credential_write(const char *name, const char *text)
{
	struct error err = {0};
	int dirfd = dir_open(AT_FDCWD, directory, &err);

	assert_true(dirfd >= 0);
	assert_success(file_replace(dirfd, name, span_of_text(text), 0400, &err));
	close(dirfd);
}

static void strings_are_in_the_order_arguments_static_runtime(void **state)
{
	char *plain[] = {TEXT("ENVIRONMENT=test")};
	struct config_credential_file files[] = {
		{.oem_name = TEXT("HOST-B"), .credential = TEXT("b")},
		{.oem_name = TEXT("HOST-A"), .credential = TEXT("a")},
	};
	const struct config_vm vm = {.name = TEXT("vm"),
				     .credential_files = files,
				     .credential_file_count = 2,
				     .oem_strings = plain,
				     .oem_string_count = 1};
	static const char *const expected[] = {"ARG", "ENVIRONMENT=test",
					       "io.systemd.credential:HOST-B=beta",
					       "io.systemd.credential:HOST-A=alpha"};
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	credential_write("a", "alpha");
	credential_write("b", "beta");
	assert_success(oem_list_add_literal(&list, OEM_ARGUMENTS, span_of_text("ARG"), NULL, &err));
	assert_success(oem_list_compose(&list, &vm, directory, NULL, &err));
	assert_int_equal(list.count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_span_equal(secret_span(&list.strings[i].text), expected[i]);
	oem_list_destroy(&list);
}

static void the_error_for_a_missing_credential_names_the_unit_line(void **state)
{
	struct config_load load = {
		.credential = TEXT("gone"), .generator = TEXT("g"), .file = TEXT("f")};
	struct config_credential_file file = {.oem_name = TEXT("HOST-GONE"),
					      .credential = TEXT("gone")};
	struct config_vm vm = {.name = TEXT("vm"),
			       .unit = TEXT("microvm@vm.service"),
			       .credential_files = &file,
			       .credential_file_count = 1,
			       .loads = &load,
			       .load_count = 1};
	struct oem_list list = {0};
	struct error err = {0};
	char expected[512];

	(void)state;
	snprintf(expected, sizeof(expected),
		 "composing the OEM strings of vm: credential HOST-GONE is missing: %s/gone does "
		 "not exist: `vmcred units` adds LoadCredential=gone:/run/secrets/vars/g/f to "
		 "microvm@vm.service",
		 directory);
	assert_error(oem_list_compose(&list, &vm, directory, NULL, &err), VMCRED_MISSING, expected);
	vm.load_count = 0;
	snprintf(expected, sizeof(expected),
		 "composing the OEM strings of vm: credential HOST-GONE is missing: %s/gone does "
		 "not exist: add gone to vms.vm.loadCredentials",
		 directory);
	assert_error(oem_list_compose(&list, &vm, directory, NULL, &err), VMCRED_MISSING, expected);
	file.optional = true;
	assert_success(oem_list_compose(&list, &vm, directory, &keeping, &err));
	snprintf(expected, sizeof(expected),
		 "optional credential HOST-GONE is skipped: %s/gone does not exist", directory);
	assert_string_equal(warned, expected);
	assert_int_equal(list.count, 0);
	assert_success(oem_list_compose(&list, &vm, NULL, &keeping, &err));
	assert_string_equal(warned, "optional credential HOST-GONE is skipped: "
				    "$CREDENTIALS_DIRECTORY is not set");
	file.optional = false;
	assert_error(
		oem_list_compose(&list, &vm, NULL, NULL, &err), VMCRED_USAGE,
		"composing the OEM strings of vm: $CREDENTIALS_DIRECTORY is not set: `systemctl "
		"daemon-reload` gives the VM's unit its LoadCredential= lines; elsewhere, use "
		"--credentials DIRECTORY");
	oem_list_destroy(&list);
}

static void a_credential_is_never_read_from_outside_its_directory(void **state)
{
	struct config_credential_file file = {.oem_name = TEXT("A"),
					      .credential = TEXT("../../etc/passwd")};
	const struct config_vm vm = {
		.name = TEXT("vm"), .credential_files = &file, .credential_file_count = 1};
	struct oem_list list = {0};
	struct error err = {0};

	(void)state;
	assert_error(oem_list_compose(&list, &vm, directory, NULL, &err), VMCRED_USAGE,
		     "composing the OEM strings of vm: the credential name \"../../etc/passwd\" "
		     "contains '/'");
	oem_list_destroy(&list);
}

static void text_that_repeats_a_credential_is_recognised(void **state)
{
	static const struct {
		const char *value, *text;
		bool found;
	} cases[] = {
		{"abcd", "xabcdx", true},
		{"abcd", "abc x", false},
		/* Too short to be specific. */
		{"abc", "abc", false},
		{"0123456789!", "is 12345678 here", true},
		{"0123456789!", "is 1234567 here", false},
		/* Its string in the table has Base64, which a guest decodes. */
		{"\1\2\3\4\5\6\7\10", "io.systemd.credential.binary:K=AQIDBAUGBwg=", true},
		{"\1\2\3\4\5\6\7\10", "01 02 03 04 05 06 07 08", true},
		/* Only credentials are secret. */
		{"abcd", "PLAIN=string", false},
		{"abcd", "", false},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oem_list list = {0};

		assert_success(
			oem_list_add_credential(&list, "K", span_of_text(cases[i].value), &err));
		assert_success(oem_list_add_literal(&list, OEM_STATIC, span_of_text("PLAIN=string"),
						    NULL, &err));
		assert_int_equal(oem_list_is_quoted(&list, span_of_text(cases[i].text)),
				 cases[i].found);
		oem_list_destroy(&list);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_that_cannot_be_text_becomes_base64),
		cmocka_unit_test(a_name_that_systemd_would_drop_is_an_error),
		cmocka_unit_test(a_literal_that_would_not_arrive_is_an_error),
		cmocka_unit_test(the_name_and_size_of_a_literal_credential_are_found),
		cmocka_unit_test(a_duplicate_name_is_an_error_whatever_its_origins),
		cmocka_unit_test(a_secret_in_the_declaration_gives_a_warning),
		cmocka_unit_test(text_that_repeats_a_credential_is_recognised),
		cmocka_unit_test(a_table_of_the_largest_size_is_accepted),
		cmocka_unit_test(a_table_holds_255_strings_but_not_256),
		cmocka_unit_test(a_credential_of_one_mebibyte_is_accepted),
		cmocka_unit_test(an_api_body_of_51200_bytes_is_accepted),
		cmocka_unit_test(strings_are_in_the_order_arguments_static_runtime),
		cmocka_unit_test(the_error_for_a_missing_credential_names_the_unit_line),
		cmocka_unit_test(a_credential_is_never_read_from_outside_its_directory),
	};

	return cmocka_run_group_tests(tests, directory_create, directory_remove);
}
