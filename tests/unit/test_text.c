/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

static void utf8_encodes_each_length(void **state)
{
	static const struct {
		uint32_t code_point;
		const char *bytes;
	} cases[] = {
		{0x7f, "\x7f"},           {0x80, "\xc2\x80"},
		{0x7ff, "\xdf\xbf"},      {0x800, "\xe0\xa0\x80"},
		{0xffff, "\xef\xbf\xbf"}, {0x10000, "\xf0\x90\x80\x80"},
		{0x20ac, "\xe2\x82\xac"}, {0x10ffff, "\xf4\x8f\xbf\xbf"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[UTF8_SIZE_MAX + 1] = {0};

		assert_int_equal(utf8_encode(cases[i].code_point, bytes), strlen(cases[i].bytes));
		assert_string_equal((const char *)bytes, cases[i].bytes);
	}
}

static void utf8_length_is_0_unless_the_sequence_is_well_formed(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
	} cases[] = {
		{"", 0},         {"a", 1},         {"\xc3\xa4z", 2},        {"\xe2\x82\xac", 3},
		{"\xe2\x82", 0}, {"\xc0\xaf", 0},  {"\xed\xa0\x80", 0},     {"\xf4\x8f\xbf\xbf", 4},
		{"\x80", 0},     {"\xe2\x82z", 0}, {"\xf4\x90\x80\x80", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(utf8_length(span_of_text(cases[i].bytes)), cases[i].length);
}

static void what_a_terminal_would_obey_is_visible(void **state)
{
	static const struct {
		const char *text, *visible;
		bool lines;
	} cases[] = {
		{"", "", false},
		{"caf\xc3\xa9 \xe2\x82\xac\t1", "caf\xc3\xa9 \xe2\x82\xac\t1", false},
		{"a\nb\r", "a\\u000ab\\u000d", false},
		{"a\nb\r", "a\nb\\u000d", true},
		{"\x1b]0;t\x07\x7f", "\\u001b]0;t\\u0007\\u007f", true},
		{"\xc2\x9b"
		 "1m\xc2\xa0",
		 "\\u009b"
		 "1m\xc2\xa0",
		 true},
		{"\xe2\x80\xae\xe2\x80\xac\xe2\x81\xa6\xe2\x81\xa9\xd8\x9c",
		 "\\u202e\\u202c\\u2066\\u2069\\u061c", true},
		{"\x9b"
		 "1m \xe2\x82",
		 "\\x9b1m \\xe2\\x82", true},
		{"AGE-SECRET-KEY-1 and\nAGE-SECRET-KEY-PQ-1QQQQQQQQQQQQQQQQ, x",
		 "AGE-SECRET-KEY-1 and\\u000aAGE-SECRET-KEY-..., x", false},
		{"\"-----BEGIN PRIVATE KEY-----\nAA+/\n\" x",
		 "\"-----BEGIN PRIVATE KEY-----...\" x", false},
		{"-----BEGIN A PRIVATE KEY-----\nAAAA\n-----END A PRIVATE KEY----- "
		 "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQ",
		 "-----BEGIN A PRIVATE KEY-----...-----END A PRIVATE KEY----- AGE-SECRET-KEY-...",
		 false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_free_ char *visible =
			text_visible(span_of_text(cases[i].text), cases[i].lines);

		assert_string_equal(visible, cases[i].visible);
	}
}

static void strings_are_null_terminated(void **state)
{
	char *const more[] = {(char *)"c", (char *)"d", NULL};
	_cleanup_strings_ struct strings strings = {0};
	_cleanup_error_ struct error err = {0};

	(void)state;
	assert_null(strings.items);
	assert_int_equal(strings_add(&strings, "a", &err), 0);
	assert_int_equal(strings_add_format(&strings, &err, "%s%d", "b", 1), 0);
	assert_int_equal(strings_add_all(&strings, more, &err), 0);
	assert_int_equal(strings.count, 4);
	assert_string_equal(strings.items[1], "b1");
	assert_null(strings.items[4]);
	assert_true(strings_contain(&strings, "d"));
	assert_false(strings_contain(&strings, "b"));
	assert_int_equal(strings_take(&strings, NULL, &err), -VMCRED_FAILED);
	assert_int_equal(strings.count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_encodes_each_length),
		cmocka_unit_test(utf8_length_is_0_unless_the_sequence_is_well_formed),
		cmocka_unit_test(what_a_terminal_would_obey_is_visible),
		cmocka_unit_test(strings_are_null_terminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
