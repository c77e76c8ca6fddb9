/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/json.h"

static void a_string_is_escaped_only_where_json_requires_it(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *expected;
	} cases[] = {
		{"", 0, "\"\""},
		{"plain", 5, "\"plain\""},
		{"\"\\/", 3, "\"\\\"\\\\/\""},
		{"a\nb\tc\x01", 6, "\"a\\nb\\u0009c\\u0001\""},
		{"\0", 1, "\"\\u0000\""},
		{"\x7f\xc3\xa4\xf0\x9f\x92\xa9", 7, "\"\x7f\xc3\xa4\xf0\x9f\x92\xa9\""},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret out = {0};

		assert_success(
			json_append_string(&out, span_of(cases[i].text, cases[i].size), &err));
		assert_span_equal(secret_span(&out), cases[i].expected);
		secret_destroy(&out);
	}
}

static void text_that_is_not_utf8_is_an_error(void **state)
{
	static const char *const texts[] = {
		"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xff", "a\xc3",    "\xf0\x9f\x92",
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct secret out = {0};

		assert_error(json_append_string(&out, span_of_text(texts[i]), &err), VMCRED_FAILED,
			     "text is not UTF-8, which JSON requires");
		secret_destroy(&out);
	}
}

static void a_public_value_is_appended_to_existing_text(void **state)
{
	struct error err = {0};
	struct secret out = {0};
	json_t *value = json_pack("{s:[i,b]}", "a", 1, 1);

	(void)state;
	assert_success(secret_append_text(&out, "{\"x\":", &err));
	assert_success(json_append_value(&out, value, JSON_COMPACT, &err));
	assert_span_equal(secret_span(&out), "{\"x\":{\"a\":[1,true]}");
	json_decref(value);
	secret_destroy(&out);
}

static void a_syntax_error_has_a_position_and_does_not_quote_the_input(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *error;
	} cases[] = {
		{"", 0, "x is empty"},
		{"{\"a\": hunter2}", 14, "x is not valid JSON (line 1, column 12)"},
		{"{\"a\": 1, \"a\": 2}", 16, "x is not valid JSON (line 1, column 12)"},
		{"[9223372036854775808]", 21,
		 "x has a number that is too large (line 1, column 20)"},
		{"{} {}", 5, "x is not valid JSON (line 1, column 4)"},
		{"{\0}", 3, "x is not valid JSON: it contains a NUL byte"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *value = NULL;

		assert_error(json_parse(span_of(cases[i].text, cases[i].size), "x", &value, &err),
			     VMCRED_FAILED, cases[i].error);
		assert_null(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_string_is_escaped_only_where_json_requires_it),
		cmocka_unit_test(text_that_is_not_utf8_is_an_error),
		cmocka_unit_test(a_public_value_is_appended_to_existing_text),
		cmocka_unit_test(a_syntax_error_has_a_position_and_does_not_quote_the_input),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
