/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/digest/sha256.h"

static void fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + 1);
}

static void digests_of_all_sizes_are_those_of_libcrypto(void **state)
{
	static uint8_t bytes[300];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		const struct span parts[] = {span_of(bytes, size / 3),
					     span_of(bytes + size / 3, size - size / 3)};
		uint8_t ours[SHA256_SIZE], theirs[SHA256_SIZE];

		sha256(parts, 2, ours);
		assert_true(EVP_Digest(bytes, size, theirs, NULL, EVP_sha256(), NULL));
		assert_memory_equal(ours, theirs, sizeof(ours));
	}
}

static void macs_with_keys_of_all_sizes_are_those_of_libcrypto(void **state)
{
	static uint8_t bytes[300];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t size = 0; size <= 2 * SHA256_BLOCK_SIZE + 1; size++) {
		const struct span parts[] = {span_of(bytes, 100), span_of(bytes + 100, 200)};
		uint8_t ours[SHA256_SIZE], theirs[SHA256_SIZE];

		hmac_sha256(span_of(bytes, size), parts, 2, ours);
		assert_non_null(
			HMAC(EVP_sha256(), bytes, (int)size, bytes, sizeof(bytes), theirs, NULL));
		assert_memory_equal(ours, theirs, sizeof(ours));
	}
}

static void large_inputs_are_hashed_whole(void **state)
{
	/* FIPS 180-4's example: a million times "a". */
	static uint8_t bytes[1000000];
	static const uint8_t expected[] = {0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92};
	const struct span whole = span_of(bytes, sizeof(bytes));
	uint8_t digest[SHA256_SIZE];

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	sha256(&whole, 1, digest);
	assert_memory_equal(digest, expected, sizeof(expected));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_of_all_sizes_are_those_of_libcrypto),
		cmocka_unit_test(macs_with_keys_of_all_sizes_are_those_of_libcrypto),
		cmocka_unit_test(large_inputs_are_hashed_whole),
	};

	return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
