/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>

#include "age/age.h"
#include "age/bech32.h"
#include "vectors.h"

#define KEY_SIZE 32

static void a_secret_key_of_age_keygen_decodes_and_encodes_to_itself(void **state)
{
	struct error err = {0};
	uint8_t key[KEY_SIZE];
	char text[128];

	(void)state;
	assert_success(bech32_decode(span_of_text(VECTOR_IDENTITY), "age-secret-key-", BECH32_UPPER,
				     key, KEY_SIZE, &err));
	assert_int_equal(bech32_encoded_size("age-secret-key-", KEY_SIZE), strlen(VECTOR_IDENTITY));
	bech32_encode("age-secret-key-", span_of(key, KEY_SIZE), BECH32_UPPER, text);
	assert_memory_equal(text, VECTOR_IDENTITY, strlen(VECTOR_IDENTITY));
}

static void a_public_key_of_age_keygen_decodes_and_encodes_to_itself(void **state)
{
	struct error err = {0};
	uint8_t key[KEY_SIZE];
	char text[128];

	(void)state;
	assert_success(bech32_decode(span_of_text(VECTOR_RECIPIENT), "age", BECH32_LOWER, key,
				     KEY_SIZE, &err));
	bech32_encode("age", span_of(key, KEY_SIZE), BECH32_LOWER, text);
	assert_memory_equal(text, VECTOR_RECIPIENT, strlen(VECTOR_RECIPIENT));
}

static void every_size_survives_the_round_trip(void **state)
{
	struct error err = {0};
	uint8_t bytes[64], decoded[64];
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		struct span encoded = span_of(text, bech32_encoded_size("age", size));

		bech32_encode("age", span_of(bytes, size), BECH32_LOWER, text);
		assert_success(bech32_decode(encoded, "age", BECH32_LOWER, decoded, size, &err));
		assert_memory_equal(decoded, bytes, size);
	}
}

static void no_changed_character_is_accepted(void **state)
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

static void what_is_wrong_is_told_and_the_text_is_not(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "it begins with something else"},
		{"age", "it begins with something else"},
		{"AGE1VMP7RU0WSESHEF8EC6TGQ992F0R02GLA2PTRT0E0Y9PHF9LHJU6S37K2P8",
		 "it begins with something else"},
		{"age1", "it is 4 characters long and not 62"},
		{VECTOR_RECIPIENT "q", "it is 63 characters long and not 62"},
		{"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2p9",
		 "its checksum is wrong: it was mistyped"},
		{"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2pb",
		 "it has a character in it that a key cannot have"},
		{"age1vmp7ru0wseshef8ec6tgq992f0r02gla2ptrt0e0y9phf9lhju6s37k2pP",
		 "it has a character in it that a key cannot have"},
	};
	struct error err = {0};
	uint8_t key[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(bech32_decode(span_of_text(cases[i].text), "age", BECH32_LOWER, key,
					   KEY_SIZE, &err),
			     VMCRED_FAILED, cases[i].message);
}

static void stray_bits_in_the_last_character_are_refused_although_the_checksum_is_right(
	void **state)
{
	static const char text[] = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpfwgqrs";
	struct error err = {0};
	uint8_t key[KEY_SIZE];

	(void)state;
	assert_error(bech32_decode(span_of_text(text), "age", BECH32_LOWER, key, KEY_SIZE, &err),
		     VMCRED_FAILED, "its last character has stray bits");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_key_of_age_keygen_decodes_and_encodes_to_itself),
		cmocka_unit_test(a_public_key_of_age_keygen_decodes_and_encodes_to_itself),
		cmocka_unit_test(every_size_survives_the_round_trip),
		cmocka_unit_test(no_changed_character_is_accepted),
		cmocka_unit_test(what_is_wrong_is_told_and_the_text_is_not),
		cmocka_unit_test(
			stray_bits_in_the_last_character_are_refused_although_the_checksum_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
