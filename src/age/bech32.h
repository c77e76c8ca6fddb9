/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bech32 (BIP 173) without its limit of 90 characters, which age uses for keys. Memory accesses and
 * branches do not depend on the characters of a secret key.
 */
#ifndef VMCRED_AGE_BECH32_H
#define VMCRED_AGE_BECH32_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

enum bech32_case {
	BECH32_LOWER,
	BECH32_UPPER
};

/* New text in lower case, or NULL without memory; the caller frees it. `prefix` is in lower case.
 */
char *bech32_encode(const char *prefix, struct span bytes);

/* Adds the text in upper case to a secret. */
int bech32_encode_secret(const char *prefix, struct span bytes, struct secret *text,
			 struct error *err);

/*
 * Decodes Bech32 with this prefix (in lower case) and exactly `size` bytes. VMCRED_FAILED: the text
 * is something else; the error does not quote it.
 */
int bech32_decode(struct span text, const char *prefix, enum bech32_case letters, uint8_t *out,
		  size_t size, struct error *err);

/* Checks that the text is Bech32 in one case, with any prefix and any number of bytes, and stores
 * the length of the prefix. */
int bech32_check(struct span text, enum bech32_case letters, size_t *prefix_size,
		 struct error *err);

#endif
