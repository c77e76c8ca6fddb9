/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "age/bech32.h"
#include "vectors.h"

#define KEY_SIZE 32

static void an_age_keygen_secret_key_decodes_and_encodes(void **state)
{
	struct error err = {0};
	struct secret text = {0};
	uint8_t key[KEY_SIZE];

	(void)state;
	assert_success(bech32_decode(span_of_text(VECTOR_IDENTITY), "age-secret-key-", BECH32_UPPER,
				     key, KEY_SIZE, &err));
	assert_success(
		bech32_encode_secret("age-secret-key-", span_of(key, KEY_SIZE), &text, &err));
	assert_span_equal(secret_span(&text), VECTOR_IDENTITY);
	secret_destroy(&text);
}

static void an_age_keygen_public_key_decodes_and_encodes(void **state)
{
	struct error err = {0};
	uint8_t key[KEY_SIZE];
	char *text;

	(void)state;
	assert_success(bech32_decode(span_of_text(VECTOR_RECIPIENT), "age", BECH32_LOWER, key,
				     KEY_SIZE, &err));
	text = bech32_encode("age", span_of(key, KEY_SIZE));
	assert_string_equal(text, VECTOR_RECIPIENT);
	free(text);
}

static void every_size_round_trips(void **state)
{
	struct error err = {0};
	uint8_t bytes[64], decoded[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		char *text = bech32_encode("age", span_of(bytes, size));

		assert_success(bech32_decode(span_of_text(text), "age", BECH32_LOWER, decoded, size,
					     &err));
		assert_memory_equal(decoded, bytes, size);
		free(text);
	}
}

static void a_changed_character_is_an_error(void **state)
{
	struct error err = {0};
	char text[] = VECTOR_RECIPIENT;
	uint8_t key[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < strlen(text); i++) {
		for (int c = 0; c < 256; c++) {
			if ((char)c == VECTOR_RECIPIENT[i])
				continue;
			text[i] = (char)c;
			assert_int_equal(bech32_decode(span_of_text(VECTOR_RECIPIENT), "age",
						       BECH32_LOWER, key, KEY_SIZE, &err),
					 0);
			assert_int_not_equal(bech32_decode(span_of(text, sizeof(text) - 1), "age",
							   BECH32_LOWER, key, KEY_SIZE, &err),
					     0);
			error_clear(&err);
		}
		text[i] = VECTOR_RECIPIENT[i];
	}
}

static void an_error_states_the_problem_and_does_not_quote_the_text(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "wrong prefix"},
		{"age", "wrong prefix"},
		{"AGE1VMP7RU0WSESHEF8EC6TGQ992F0R02GLA2PTRT0E0Y9PHF9LHJU6S37K2P8", "wrong prefix"},
		{"age1", "it has 4 characters instead of 62"},
		{VECTOR_RECIPIENT "q", "it has 63 characters instead of 62"},
		{"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2p9",
		 "wrong checksum, probably mistyped"},
		{"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2pb",
		 "it contains an invalid character"},
		{"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2pP",
		 "it contains an invalid character"},
	};
	struct error err = {0};
	uint8_t key[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(bech32_decode(span_of_text(cases[i].text), "age", BECH32_LOWER, key,
					   KEY_SIZE, &err),
			     VMCRED_FAILED, cases[i].message);
}

static void stray_bits_are_an_error_even_with_a_valid_checksum(void **state)
{
	static const char text[] = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpfwgqrs";
	struct error err = {0};
	uint8_t key[KEY_SIZE];

	(void)state;
	assert_error(bech32_decode(span_of_text(text), "age", BECH32_LOWER, key, KEY_SIZE, &err),
		     VMCRED_FAILED, "stray bits in its last character");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_age_keygen_secret_key_decodes_and_encodes),
		cmocka_unit_test(an_age_keygen_public_key_decodes_and_encodes),
		cmocka_unit_test(every_size_round_trips),
		cmocka_unit_test(a_changed_character_is_an_error),
		cmocka_unit_test(an_error_states_the_problem_and_does_not_quote_the_text),
		cmocka_unit_test(stray_bits_are_an_error_even_with_a_valid_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
