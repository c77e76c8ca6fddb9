/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "age/age.h"
#include "vectors.h"

#define BEGIN "-----BEGIN AGE ENCRYPTED FILE-----"
#define END   "-----END AGE ENCRYPTED FILE-----"
#define FULL  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void armor_written_by_age_decodes_and_encodes_to_the_same(void **state)
{
	struct secret file = {0}, text = {0};
	struct error err = {0};

	(void)state;
	assert_true(age_armor_detect(span_of_text(vector_armor)));
	assert_success(age_armor_decode(span_of_text(vector_armor), &file, &err));
	assert_true(span_starts_with(secret_span(&file), span_of_text("age-encryption.org/v1\n")));
	assert_success(age_armor_encode(secret_span(&file), &text, &err));
	assert_span_equal(secret_span(&text), vector_armor);
	secret_destroy(&file);
	secret_destroy(&text);
}

static void every_size_round_trips(void **state)
{
	uint8_t bytes[200] = {0};
	struct error err = {0};

	(void)state;
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		struct secret file = {0}, text = {0};

		assert_success(age_armor_encode(span_of(bytes, size), &text, &err));
		assert_success(age_armor_decode(secret_span(&text), &file, &err));
		assert_int_equal(file.size, size);
		secret_destroy(&file);
		secret_destroy(&text);
	}
}

static void surrounding_white_space_and_crlf_are_accepted(void **state)
{
	static const char *const texts[] = {
		BEGIN "\nZm9v\n" END,
		BEGIN "\nZm9v\n" END "\n",
		BEGIN "\r\nZm9v\r\n" END "\r\n",
		" \t\r\n" BEGIN "\nZm9v\n" END "\n \t\r\n",
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct secret file = {0};

		assert_success(age_armor_decode(span_of_text(texts[i]), &file, &err));
		assert_span_equal(secret_span(&file), "foo");
		secret_destroy(&file);
	}
}

static void malformed_armor_is_an_error(void **state)
{
#define MALFORMED "the age armor is malformed: "
#define FIRST     MALFORMED "the first line is not \"" BEGIN "\""
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", FIRST},
		{"x" BEGIN "\nZm9v\n" END "\n", FIRST},
		{BEGIN " \nZm9v\n" END "\n", FIRST},
		{BEGIN, MALFORMED "it is truncated"},
		{BEGIN "\nZm9v\n", MALFORMED "it is truncated"},
		{BEGIN "\nZm9v\n" END "x\n",
		 MALFORMED "a line before the last one does not have 64 characters"},
		{BEGIN "\nZm9v\nZm9v\n" END "\n",
		 MALFORMED "a line before the last one does not have 64 characters"},
		{BEGIN "\n\nZm9v\n" END "\n", MALFORMED "it has an empty line"},
		{BEGIN "\n" FULL "AAAA\n" END "\n",
		 MALFORMED "a line is longer than 64 characters"},
		{BEGIN "\nZm8\n" END "\n", MALFORMED "a line is not canonical Base64"},
		{BEGIN "\nZm9=\n" END "\n", MALFORMED "a line is not canonical Base64"},
		{BEGIN "\nZm 9v\n" END "\n", MALFORMED "a line is not canonical Base64"},
		{BEGIN "\nZm9v\n" END "\nx", MALFORMED "text after it"},
	};
	struct secret file = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_error(age_armor_decode(span_of_text(cases[i].text), &file, &err),
			     VMCRED_FAILED, cases[i].message);
		assert_int_equal(file.size, 0);
	}
	secret_destroy(&file);
}

static void too_much_white_space_is_an_error(void **state)
{
	static char text[4096];
	struct secret file = {0};
	struct error err = {0};

	(void)state;
	memset(text, ' ', sizeof(text));
	text[2000 + snprintf(text + 2000, 200, "\n%s\n%s\n", BEGIN, END)] = ' ';
	assert_error(age_armor_decode(span_of(text, 2200), &file, &err), VMCRED_FAILED,
		     MALFORMED "too much white space before it");
	assert_error(age_armor_decode(span_of(text + 2000, 2000), &file, &err), VMCRED_FAILED,
		     MALFORMED "too much white space after it");
	secret_destroy(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(armor_written_by_age_decodes_and_encodes_to_the_same),
		cmocka_unit_test(every_size_round_trips),
		cmocka_unit_test(surrounding_white_space_and_crlf_are_accepted),
		cmocka_unit_test(malformed_armor_is_an_error),
		cmocka_unit_test(too_much_white_space_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
