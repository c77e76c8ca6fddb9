/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bech32 (BIP 173) without its limit of 90 characters, as age uses it for keys. The characters of a
 * secret key are looked up without data-dependent memory accesses or branches.
 */
#ifndef VMCRED_AGE_BECH32_H
#define VMCRED_AGE_BECH32_H

#include "base/error.h"
#include "base/span.h"

enum bech32_case {
	BECH32_LOWER,
	BECH32_UPPER
};

/* Characters that `size` bytes behind a prefix take, without a NUL. */
size_t bech32_encoded_size(const char *prefix, size_t size);

/* Writes bech32_encoded_size() characters. `prefix` is in lower case. */
void bech32_encode(const char *prefix, struct span bytes, enum bech32_case letters, char *out);

/*
 * Checks that the text is Bech32 with this prefix (in lower case) and exactly `size` bytes, and
 * writes them to `out`. VMCRED_FAILED: it is not; the error says why, not what the text holds.
 */
int bech32_decode(struct span text, const char *prefix, enum bech32_case letters, uint8_t *out,
		  size_t size, struct error *err);

/*
 * Checks that the text is Bech32 with any prefix and any number of bytes, in one case all over, and
 * stores the number of characters of the prefix.
 */
int bech32_check(struct span text, enum bech32_case letters, size_t *prefix_size,
		 struct error *err);

#endif
