/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of an age file (C2SP age.md, "Payload"): a nonce, then chunks of 64 KiB. Each chunk
 * has its own tag, and its number in its nonce; a flag marks the last one, so that truncation is
 * detected. Callers process chunk by chunk, for files that do not fit into memory.
 */
#ifndef VMCRED_AGE_STREAM_H
#define VMCRED_AGE_STREAM_H

#include "age/primitives.h"
#include "base/error.h"
#include "base/span.h"

#define AGE_STREAM_NONCE_SIZE 16                  /* HKDF's salt, at the start of the payload */
#define AGE_CHUNK_SIZE        ((size_t)64 * 1024) /* of plaintext */
#define AGE_SEALED_CHUNK_SIZE (AGE_CHUNK_SIZE + AGE_TAG_SIZE)

/* Starts as {0}. */
struct age_stream {
	struct age_aead aead;
	uint8_t nonce[AGE_NONCE_SIZE]; /* 11 bytes of the chunk's number, big-endian, and the
					  last-chunk flag */
	bool first;
};

#define _cleanup_age_stream_ __attribute__((cleanup(age_stream_destroy)))

int age_stream_create(struct age_stream *stream, struct span file_key,
		      const uint8_t nonce[AGE_STREAM_NONCE_SIZE], enum age_direction direction,
		      struct error *err);
void age_stream_destroy(struct age_stream *stream);

/* Seals the next chunk: AGE_CHUNK_SIZE bytes, or fewer for the last one. */
int age_stream_seal(struct age_stream *stream, struct span chunk, bool last, uint8_t *out,
		    struct error *err);

/*
 * Opens the next chunk; writes `sealed.size - AGE_TAG_SIZE` bytes. VMCRED_INTEGRITY: it is not the
 * next chunk, or `last` is wrong.
 */
int age_stream_open(struct age_stream *stream, struct span sealed, bool last, uint8_t *out,
		    struct error *err);

#endif
