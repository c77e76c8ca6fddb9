/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DEFLATE (RFC 1951), for the compressed packets that gpg puts around a data key: zlib, in secret
 * memory.
 */
#ifndef VMCRED_SOPS_INFLATE_H
#define VMCRED_SOPS_INFLATE_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/*
 * Adds what a stream decompresses to. What follows the stream is not looked at. VMCRED_FAILED: it
 * is damaged, or decompresses to more than `size_max` bytes.
 */
int sops_inflate(struct span stream, size_t size_max, struct secret *out, struct error *err);

#endif
