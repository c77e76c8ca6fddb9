/* SPDX-License-Identifier: Apache-2.0 */
/* Wraps a file key for each recipient, and unwraps it with the first identity that can. */
#ifndef VMCRED_AGE_FILE_KEY_H
#define VMCRED_AGE_FILE_KEY_H

#include "age/age.h"
#include "age/header.h"

/* Generates a file key and adds the header that contains it to `file`. */
int age_file_key_create(const struct age_recipients *recipients, struct secret *file_key,
			struct secret *file, struct error *err);

/*
 * Returns 1 and the file key, AGE_FILE_KEY_SIZE bytes; 0 if no identity opens the file; or a
 * negative code as from `unwrap` (age/keys.h).
 */
int age_file_key_search(const struct age_header *header, const struct age_identities *identities,
			uint8_t *file_key, struct error *err);

/* The same, but an error if no identity opens the file. Verifies the header's MAC. */
int age_file_key_unwrap(const struct age_header *header, const struct age_identities *identities,
			struct secret *file_key, struct error *err);

#endif
