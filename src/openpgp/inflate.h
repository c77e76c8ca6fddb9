/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEFLATE (RFC 1951), for the compressed packets that gpg puts around a data key: zlib, in secret
 * memory.
 */
#ifndef VMCRED_OPENPGP_INFLATE_H
#define VMCRED_OPENPGP_INFLATE_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/*
 * Adds what `bytes`, a stream, decompress to. What follows it is not looked at. VMCRED_FAILED: it
 * is damaged, or decompresses to more than `size_max` bytes.
 */
int sops_inflate(struct span bytes, size_t size_max, struct secret *out, struct error *err);

#endif
