/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "age/ssh/bcrypt_pbkdf.h"
#include "age/ssh/blowfish.h"

static void the_state_starts_with_the_fraction_of_pi(void **state)
{
	struct error err = {0};
	struct blowfish start;

	(void)state;
	assert_success(blowfish_start(&start, &err));
	/* Pi in hexadecimal: 3.243F6A88 85A308D3 …, and the last words of Schneier's tables. */
	assert_int_equal(start.subkeys[0], 0x243F6A88);
	assert_int_equal(start.subkeys[1], 0x85A308D3);
	assert_int_equal(start.subkeys[17], 0x8979FB1B);
	assert_int_equal(start.boxes[0][0], 0xD1310BA6);
	assert_int_equal(start.boxes[3][255], 0x3AC372E6);
}

static void blowfish_encrypts_as_schneiers_vectors_say(void **state)
{
	/* An all-zero key and block, and "abcdefghijklmnopqrstuvwxyz" with "BLOWFISH"; the latter's
	 * key is no multiple of four bytes long, and comes round twice here. */
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	const uint8_t zeros[8] = {0};
	struct error err = {0};
	struct blowfish start;
	uint32_t block[2] = {0, 0}, words[2] = {0x424C4F57, 0x46495348};

	(void)state;
	assert_success(blowfish_start(&start, &err));
	blowfish_expand(&start, span_of(zeros, 8));
	blowfish_encrypt(&start, block);
	assert_int_equal(block[0], 0x4EF99745);
	assert_int_equal(block[1], 0x6198DD78);
	assert_success(blowfish_start(&start, &err));
	blowfish_expand(&start, span_of(alphabet, 52));
	blowfish_encrypt(&start, words);
	assert_int_equal(words[0], 0x324ED0FE);
	assert_int_equal(words[1], 0xF413A203);
}

static void keys_are_those_of_another_implementation(void **state)
{
	/* Python's bcrypt 5 made these. */
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
		cmocka_unit_test(the_state_starts_with_the_fraction_of_pi),
		cmocka_unit_test(blowfish_encrypts_as_schneiers_vectors_say),
		cmocka_unit_test(keys_are_those_of_another_implementation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
