/* SPDX-License-Identifier: Apache-2.0 */
#include "sops/keys/shamir.h"

#include "base/span.h"

/* The product in GF(256): one step for each bit of `b`, from the highest, with masks. */
static uint8_t multiply(uint8_t a, uint8_t b)
{
	unsigned int product = 0;

	for (int bit = 7; bit >= 0; bit--) {
		unsigned int carry = 0U - (product >> 7 & 1), taken = 0U - (b >> bit & 1U);

		product = (product << 1 & 0xff) ^ (carry & 0x1b) ^ (taken & a);
	}
	return (uint8_t)product;
}

/* a^254, which is 1/a: the group has 255 elements. */
static uint8_t invert(uint8_t a)
{
	uint8_t power = a, inverse = 1;

	for (int bit = 1; bit < 8; bit++) {
		power = multiply(power, power);
		inverse = multiply(inverse, power);
	}
	return inverse;
}

/* Horner's rule; the coefficient of x^0 is the secret byte, the others are random. */
static uint8_t evaluate(uint8_t secret, struct span coefficients, uint8_t x)
{
	uint8_t value = 0;

	for (size_t i = coefficients.size; i > 0; i--)
		value = multiply(value, x) ^ coefficients.data[i - 1];
	return multiply(value, x) ^ secret;
}

int shamir_split(struct span secret, struct secret *shares, size_t count, size_t threshold,
		 struct error *err)
{
	_cleanup_secret_ struct secret random = {0};
	size_t degree = threshold - 1;
	int r = 0;

	if (threshold < 2 || threshold > count || count > SHAMIR_SHARES_MAX)
		return error_set(
			err, VMCRED_USAGE,
			"cannot share the data key among %zu key groups with threshold %zu: the "
			"threshold must be at least 2, and at most %d groups are allowed",
			count, threshold, SHAMIR_SHARES_MAX);
	r = secret_append_random(&random, secret.size * degree, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = secret_create(&shares[i], secret.size + 1, err);
		if (r < 0)
			break;
		for (size_t j = 0; j < secret.size; j++)
			shares[i].data[j] =
				evaluate(secret.data[j], span_of(random.data + j * degree, degree),
					 (uint8_t)(i + 1));
		shares[i].data[secret.size] = (uint8_t)(i + 1);
		shares[i].size = secret.size + 1;
	}
	return r;
}

/* The place of a share is public. */
static uint8_t place(const struct secret *share)
{
	return share->data[share->size - 1];
}

static int shares_check(const struct secret *shares, size_t count, struct error *err)
{
	bool seen[SHAMIR_SHARES_MAX + 1] = {false};

	for (size_t i = 0; i < count; i++) {
		if (shares[i].size < 2 || shares[i].size != shares[0].size)
			return error_set(err, VMCRED_FAILED,
					 "the key groups hold shares of different sizes");
		if (place(&shares[i]) == 0 || seen[place(&shares[i])])
			return error_set(err, VMCRED_FAILED,
					 "two key groups hold the same share of the data key");
		seen[place(&shares[i])] = true;
	}
	return 0;
}

/* Lagrange's basis at 0 for share `i`: the product of x_j / (x_i - x_j); minus is xor. */
static uint8_t basis(const struct secret *shares, size_t count, size_t i)
{
	uint8_t product = 1;

	for (size_t j = 0; j < count; j++) {
		uint8_t x = place(&shares[j]);

		if (j != i)
			product = multiply(product, multiply(x, invert(place(&shares[i]) ^ x)));
	}
	return product;
}

int shamir_combine(const struct secret *shares, size_t count, struct secret *secret,
		   struct error *err)
{
	int r = shares_check(shares, count, err);
	size_t size, start = secret->size;

	if (r < 0)
		return r;
	size = shares[0].size - 1;
	r = secret_reserve(secret, start + size, err);
	if (r < 0)
		return r;
	memset(secret->data + start, 0, size);
	for (size_t i = 0; i < count; i++) {
		uint8_t factor = basis(shares, count, i);

		for (size_t j = 0; j < size; j++)
			secret->data[start + j] ^= multiply(shares[i].data[j], factor);
	}
	secret->size = start + size;
	return 0;
}
