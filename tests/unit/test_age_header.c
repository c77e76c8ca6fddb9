/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "age/header.h"

#define VERSION "age-encryption.org/v1\n"
#define MAC     "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
#define FULL    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"

static int parse(const char *text, struct age_header *header, struct error *err)
{
	return age_header_parse(span_of_text(text), header, err);
}

static void a_header_has_stanzas_with_arguments_and_bodies(void **state)
{
	static const char text[] = VERSION "-> one two three\nZm9v\n-> x\n" FULL "\n" MAC "payload";
	struct age_header header = {0};
	struct error err = {0};

	(void)state;
	assert_success(parse(text, &header, &err));
	assert_int_equal(header.count, 2);
	assert_int_equal(age_stanza_argument_count(&header.stanzas[0]), 3);
	assert_span_equal(age_stanza_argument(&header.stanzas[0], 0), "one");
	assert_span_equal(age_stanza_argument(&header.stanzas[0], 2), "three");
	assert_int_equal(age_stanza_argument(&header.stanzas[0], 3).size, 0);
	assert_span_equal(header.stanzas[0].body, "foo");
	assert_span_equal(age_stanza_argument(&header.stanzas[1], 0), "x");
	assert_int_equal(header.stanzas[1].body.size, 48);
	assert_int_equal(header.size, strlen(text) - strlen("payload"));
	assert_int_equal(header.covered.size, header.size - strlen(MAC) + 3);
	age_header_destroy(&header);
}

static void a_non_canonical_header_is_an_error(void **state)
{
#define MALFORMED "the age header is malformed: "
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "not an age file: it is empty"},
		{"age-encryption.org/v2\n", "unsupported age file version (only v1)"},
		{"age-encryption.org/v1\r\n-> x\n\n" MAC, "unsupported age file version (only v1)"},
		{VERSION, MALFORMED "it is truncated"},
		{VERSION "-> x\n\n", MALFORMED "it is truncated"},
		{VERSION "-> x\n\n---", MALFORMED "it is truncated"},
		{VERSION MAC, MALFORMED "no stanzas"},
		{VERSION "->\n\n" MAC, MALFORMED "a stanza does not begin with \"-> \""},
		{VERSION "x\n\n" MAC, MALFORMED "a stanza does not begin with \"-> \""},
		{VERSION "\n-> x\n\n" MAC, MALFORMED "a stanza does not begin with \"-> \""},
#define WORDS "a stanza's arguments are not separated by single spaces"
		{VERSION "-> \n\n" MAC, MALFORMED WORDS},
		{VERSION "-> x \n\n" MAC, MALFORMED WORDS},
		{VERSION "->  x\n\n" MAC, MALFORMED WORDS},
		{VERSION "-> x  y\n\n" MAC, MALFORMED WORDS},
		{VERSION "-> x\ty\n\n" MAC, MALFORMED WORDS},
		{VERSION "-> x\r\n\n" MAC, MALFORMED WORDS},
		{VERSION "-> \xc3\xbc\n\n" MAC, MALFORMED WORDS},
#define BASE64 "a line of a stanza's body is not canonical Base64"
		{VERSION "-> x\n" MAC, MALFORMED BASE64},
		{VERSION "-> x\nZm8=\n" MAC, MALFORMED BASE64},
		{VERSION "-> x\nZm9\n" MAC, MALFORMED BASE64},
		{VERSION "-> x\nZ\n" MAC, MALFORMED BASE64},
		{VERSION "-> x\nZm9v\r\n" MAC, MALFORMED BASE64},
		{VERSION "-> x\n" FULL MAC, MALFORMED BASE64},
		{VERSION "-> x\n" FULL "-> y\n\n" MAC, MALFORMED BASE64},
		{VERSION "-> x\nZm9v\nZm9v\n" MAC,
		 MALFORMED "a stanza does not begin with \"-> \""},
		{VERSION "-> x\nA" FULL "\n" MAC,
		 MALFORMED "a line of a stanza's body is too long"},
#define LAST_LINE "the last line is not \"--- \" and a MAC"
		{VERSION "-> x\n\n---AAAA\n", MALFORMED LAST_LINE},
		{VERSION "-> x\n\n---\n", MALFORMED LAST_LINE},
		{VERSION "-> x\n\n----\n", MALFORMED LAST_LINE},
#define MAC_BASE64 "the MAC is not 32 bytes of canonical Base64"
		{VERSION "-> x\n\n--- \n", MALFORMED MAC_BASE64},
		{VERSION "-> x\n\n--- AAAA\n", MALFORMED MAC_BASE64},
		{VERSION "-> x\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n",
		 MALFORMED MAC_BASE64},
		{VERSION "-> x\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		 MALFORMED MAC_BASE64},
		{VERSION "-> x\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA AAAA\n",
		 MALFORMED MAC_BASE64},
		{VERSION "-> x\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
		 MALFORMED MAC_BASE64},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct age_header header = {0};
		struct error err = {0};

		assert_error(parse(cases[i].text, &header, &err), VMCRED_FAILED, cases[i].message);
		age_header_destroy(&header);
	}
}

static void a_written_header_parses_to_the_same_stanzas(void **state)
{
	uint8_t body[150], key[AGE_FILE_KEY_SIZE] = {1};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)i;
	for (size_t size = 0; size <= sizeof(body); size++) {
		struct age_header header = {0};
		struct secret text = {0};

		assert_success(age_header_begin(&text, &err));
		assert_success(
			age_stanza_append(&text, "type argument", span_of(body, size), &err));
		assert_success(age_header_finish(&text, span_of(key, sizeof(key)), &err));
		assert_success(age_header_parse(secret_span(&text), &header, &err));
		assert_int_equal(header.size, text.size);
		assert_int_equal(header.count, 1);
		assert_span_equal(header.stanzas[0].line, "type argument");
		assert_int_equal(header.stanzas[0].body.size, size);
		assert_memory_equal(header.stanzas[0].body.data, body, size);
		assert_success(age_header_verify(&header, span_of(key, sizeof(key)), &err));
		key[0] ^= 1;
		assert_error(age_header_verify(&header, span_of(key, sizeof(key)), &err),
			     VMCRED_INTEGRITY,
			     "the age header's MAC does not match: the header was modified");
		key[0] ^= 1;
		age_header_destroy(&header);
		secret_destroy(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_has_stanzas_with_arguments_and_bodies),
		cmocka_unit_test(a_non_canonical_header_is_an_error),
		cmocka_unit_test(a_written_header_parses_to_the_same_stanzas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
