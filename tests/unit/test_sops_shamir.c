/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "sops/keys/shamir.h"

#define SECRET  "data key"
#define GROUPS  5
#define NEEDED  3
#define SUBSETS (1U << GROUPS)

/* Shares of SECRET that sops's own code made, of which three are needed. */
static const uint8_t vectors[GROUPS][9] = {
	{0xbe, 0xbf, 0xf0, 0x31, 0x56, 0xef, 0x09, 0x40, 0x01},
	{0x51, 0x75, 0xd8, 0xc1, 0x27, 0x2e, 0x0b, 0xca, 0x02},
	{0x8b, 0xab, 0x5c, 0x91, 0x51, 0xaa, 0x67, 0xf3, 0x03},
	{0x50, 0xb3, 0xfd, 0x3a, 0xaf, 0xa2, 0x57, 0x2d, 0x04},
	{0x8a, 0x6d, 0x79, 0x6a, 0xd9, 0x26, 0x3b, 0x14, 0x05},
};

static void shares_free(struct secret *shares, size_t count)
{
	for (size_t i = 0; i < count; i++)
		secret_destroy(&shares[i]);
}

/* Checks every subset of the shares: those that are large enough give the secret, others do not. */
static void subsets_check(const struct secret *shares)
{
	for (unsigned int subset = 1; subset < SUBSETS; subset++) {
		struct secret chosen[GROUPS], secret = {0};
		struct error err = {0};
		size_t count = 0;

		for (size_t i = 0; i < GROUPS; i++) {
			if (subset >> i & 1)
				chosen[count++] = shares[i];
		}
		assert_success(shamir_combine(chosen, count, &secret, &err));
		assert_int_equal(span_equal(secret_span(&secret), span_of_text(SECRET)),
				 count >= NEEDED);
		secret_destroy(&secret);
	}
}

static void combine_shares_of_sops(void **state)
{
	struct secret shares[GROUPS] = {0};
	struct error err = {0};

	(void)state;
	for (size_t i = 0; i < GROUPS; i++)
		assert_success(
			secret_copy(&shares[i], span_of(vectors[i], sizeof(vectors[i])), &err));
	subsets_check(shares);
	shares_free(shares, GROUPS);
}

static void threshold_is_required_and_sufficient(void **state)
{
	struct secret shares[GROUPS] = {0};
	struct error err = {0};

	(void)state;
	assert_success(shamir_split(span_of_text(SECRET), shares, GROUPS, NEEDED, &err));
	for (size_t i = 0; i < GROUPS; i++) {
		assert_int_equal(shares[i].size, strlen(SECRET) + 1);
		assert_int_equal(shares[i].data[strlen(SECRET)], i + 1);
	}
	subsets_check(shares);
	shares_free(shares, GROUPS);
}

static void split_rejects_invalid_thresholds(void **state)
{
	static const size_t cases[][2] = {{1, 1}, {3, 1}, {3, 0}, {2, 3}, {256, 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct secret shares[SHAMIR_SHARES_MAX + 1] = {0};
		struct error err = {0};

		assert_int_equal(
			shamir_split(span_of_text(SECRET), shares, cases[i][0], cases[i][1], &err),
			-(int)VMCRED_USAGE);
		error_clear(&err);
	}
}

static void combine_rejects_mismatched_shares(void **state)
{
	struct secret shares[2] = {0}, secret = {0};
	struct error err = {0};

	(void)state;
	assert_success(secret_copy(&shares[0], span_of("ab\1", 3), &err));
	assert_success(secret_copy(&shares[1], span_of("cd\1", 3), &err));
	assert_error(shamir_combine(shares, 2, &secret, &err), VMCRED_FAILED,
		     "two key groups hold the same share of the data key");
	shares[1].data[2] = 0;
	assert_error(shamir_combine(shares, 2, &secret, &err), VMCRED_FAILED,
		     "two key groups hold the same share of the data key");
	shares[1].size = 2;
	assert_error(shamir_combine(shares, 2, &secret, &err), VMCRED_FAILED,
		     "the key groups hold shares of different sizes");
	shares_free(shares, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combine_shares_of_sops),
		cmocka_unit_test(threshold_is_required_and_sufficient),
		cmocka_unit_test(split_rejects_invalid_thresholds),
		cmocka_unit_test(combine_rejects_mismatched_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
