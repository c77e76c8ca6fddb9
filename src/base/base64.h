/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648, section 4) for secrets: no table lookups that depend on the data. Like age and
 * SOPS, the decoder accepts only the canonical form: no white space, no missing or superfluous
 * padding, no stray bits in the last group.
 */
#ifndef VMCRED_BASE_BASE64_H
#define VMCRED_BASE_BASE64_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

enum base64_form {
	BASE64_PADDED,   /* '=' pads the last group: SOPS, systemd, PEM */
	BASE64_UNPADDED, /* age's header */
};

/* The number of characters for `size` bytes. */
size_t base64_encoded_size(size_t size, enum base64_form form);

/* Writes exactly base64_encoded_size() characters to `out`, without a NUL. */
void base64_encode(struct span bytes, enum base64_form form, char *out);

/* Adds the characters to a secret. */
int base64_encode_secret(struct span bytes, enum base64_form form, struct secret *out,
			 struct error *err);

/*
 * Decodes into `out`, which has room for `text.size / 4 * 3 + 2` bytes, and stores the number of
 * bytes. VMCRED_FAILED: the text is not canonical; the error does not quote it.
 */
int base64_decode(struct span text, enum base64_form form, uint8_t *out, size_t *size,
		  struct error *err);

/* Adds the decoded bytes to a secret. */
int base64_decode_secret(struct span text, enum base64_form form, struct secret *out,
			 struct error *err);

#endif
