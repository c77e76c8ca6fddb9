/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648, section 4) for secrets: no table look-ups that depend on the data, and a
 * decoder that takes the one canonical form only, since age and SOPS refuse everything else: no
 * white space, no missing or superfluous padding, no stray bits in the last group.
 */
#ifndef VMCRED_BASE_BASE64_H
#define VMCRED_BASE_BASE64_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

enum base64_form {
	BASE64_PADDED,   /* '=' fills the last group: SOPS, systemd, PEM */
	BASE64_UNPADDED, /* no '=' at all: age's header */
};

/* Characters that `size` bytes take. */
size_t base64_encoded_size(size_t size, enum base64_form form);

/* Writes exactly base64_encoded_size() characters to `out`, without a NUL. */
void base64_encode(struct span bytes, enum base64_form form, char *out);

/* Adds the characters to a secret. */
int base64_encode_secret(struct span bytes, enum base64_form form, struct secret *out,
			 struct error *err);

/*
 * Decodes into `out`, which has room for `text.size / 4 * 3 + 2` bytes, and stores the number of
 * bytes. Text that is not in canonical form is VMCRED_FAILED; the error says what is wrong, not
 * what it holds.
 */
int base64_decode(struct span text, enum base64_form form, uint8_t *out, size_t *size,
		  struct error *err);

/* Adds the decoded bytes to a secret. */
int base64_decode_secret(struct span text, enum base64_form form, struct secret *out,
			 struct error *err);

#endif
