/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "age/ssh/bcrypt_pbkdf.h"
#include "age/ssh/blowfish.h"

static void the_initial_state_is_the_fraction_of_pi(void **state)
{
	/* SHA-256 of the big-endian words, computed from pi by Machin's formula. */
	static const char expected[] =
		"b5643208907b11b20e499a42187dc921f9579d28dadfccbe69a5ce232a55952f";
	uint8_t bytes[sizeof(blowfish_pi)], digest[32];
	char hex[65] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(blowfish_pi[i / 4] >> (24 - 8 * (i % 4)));
	assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, bytes, sizeof(bytes), digest, NULL), 1);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(hex, expected);
}

static void blowfish_encrypts_schneiers_test_vectors(void **state)
{
	/* An all-zero key and block, and "abcdefghijklmnopqrstuvwxyz" with "BLOWFISH"; the second
	 * key is repeated, because its size is not a multiple of four. */
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	const uint8_t zeros[8] = {0};
	struct blowfish blowfish;
	uint32_t block[2] = {0, 0}, words[2] = {0x424C4F57, 0x46495348};

	(void)state;
	memcpy(&blowfish, blowfish_pi, sizeof(blowfish));
	blowfish_expand(&blowfish, span_of(zeros, 8));
	blowfish_encrypt(&blowfish, block);
	assert_int_equal(block[0], 0x4EF99745);
	assert_int_equal(block[1], 0x6198DD78);
	memcpy(&blowfish, blowfish_pi, sizeof(blowfish));
	blowfish_expand(&blowfish, span_of(alphabet, 52));
	blowfish_encrypt(&blowfish, words);
	assert_int_equal(words[0], 0x324ED0FE);
	assert_int_equal(words[1], 0xF413A203);
}

static void derived_keys_match_another_implementation(void **state)
{
	/* From Python's bcrypt 5. */
	static const struct {
		const char *passphrase;
		size_t passphrase_size;
		const char *salt;
		size_t salt_size;
		uint32_t rounds;
		size_t size;
		const char *key;
	} cases[] = {
		{"passphrase", 10, "salt", 4, 1, 32,
		 "e89b0589be741d9bca7e8cf34acdb3ecc14083e52bfa9fa47bdd9952ad0664d4"},
		{"p\0w", 3, "\1\2\3", 3, 3, 48,
		 "da016a4383345c676893c9a70183ad69486b05b4cfb19160513a46b848ed0966"
		 "0de6f48bbee6824cc46efed328625a91"},
		{"p\xc3\xa4ss w\xc3\xb6rd", 11, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16, 2,
		 7, "7bf5ff92443eb9"},
	};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t key[48];
		char hex[97] = "";

		assert_success(bcrypt_pbkdf(span_of(cases[i].passphrase, cases[i].passphrase_size),
					    span_of(cases[i].salt, cases[i].salt_size),
					    cases[i].rounds, key, cases[i].size, &err));
		for (size_t j = 0; j < cases[i].size; j++)
			snprintf(hex + 2 * j, 3, "%02x", key[j]);
		assert_string_equal(hex, cases[i].key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_initial_state_is_the_fraction_of_pi),
		cmocka_unit_test(blowfish_encrypts_schneiers_test_vectors),
		cmocka_unit_test(derived_keys_match_another_implementation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
