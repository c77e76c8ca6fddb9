/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) and HMAC-SHA256 (FIPS 198-1), for the programs without libcrypto. */
#ifndef VMCRED_BASE_DIGEST_SHA256_H
#define VMCRED_BASE_DIGEST_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define SHA256_SIZE       32
#define SHA256_BLOCK_SIZE 64

/* The MAC of the parts, one after the other. The functions leave no copy of what they read. */
void hmac_sha256(struct span key, const struct span *parts, size_t count, uint8_t mac[SHA256_SIZE]);

/* The digest of the parts, one after the other. */
void sha256(const struct span *parts, size_t count, uint8_t digest[SHA256_SIZE]);

#endif
