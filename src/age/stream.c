/* SPDX-License-Identifier: Apache-2.0 */
#include "age/stream.h"

#include "base/secret.h"

int age_stream_create(struct age_stream *stream, struct span file_key,
		      const uint8_t nonce[AGE_STREAM_NONCE_SIZE], enum age_direction direction,
		      struct error *err)
{
	uint8_t key[AGE_KEY_SIZE];
	int r = age_hkdf(file_key, span_of(nonce, AGE_STREAM_NONCE_SIZE), "payload", key, err);

	*stream = (struct age_stream){.first = true};
	if (r == 0)
		r = age_aead_create(&stream->aead, key, direction, err);
	memory_wipe(key, sizeof(key));
	return r;
}

void age_stream_destroy(struct age_stream *stream)
{
	age_aead_destroy(&stream->aead);
}

static void chunk_next(struct age_stream *stream)
{
	/* It never overflows: no file has 2^88 chunks. */
	for (size_t i = AGE_NONCE_SIZE - 1; i-- > 0;) {
		if (++stream->nonce[i] != 0)
			break;
	}
	stream->first = false;
}

int age_stream_seal(struct age_stream *stream, struct span chunk, bool last, uint8_t *out,
		    struct error *err)
{
	int r;

	stream->nonce[AGE_NONCE_SIZE - 1] = last;
	r = age_aead_seal(&stream->aead, stream->nonce, chunk, out, err);
	chunk_next(stream);
	return r;
}

static int cut_off(struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY, "the age payload is truncated");
}

int age_stream_open(struct age_stream *stream, struct span sealed, bool last, uint8_t *out,
		    struct error *err)
{
	int r;

	if (sealed.size < AGE_TAG_SIZE)
		return cut_off(err);
	if (sealed.size > AGE_SEALED_CHUNK_SIZE || (!last && sealed.size < AGE_SEALED_CHUNK_SIZE))
		return error_set(err, VMCRED_INTEGRITY,
				 "a chunk of the age payload has the wrong size");
	/* Only an empty file has an empty chunk (age.md, "Payload"). */
	if (sealed.size == AGE_TAG_SIZE && !stream->first)
		return error_set(err, VMCRED_INTEGRITY, "the age payload ends with an empty chunk");
	stream->nonce[AGE_NONCE_SIZE - 1] = last;
	r = age_aead_open(&stream->aead, stream->nonce, sealed, out, err);
	chunk_next(stream);
	if (r == 0)
		return error_set(err, VMCRED_INTEGRITY,
				 "the age payload was modified or truncated: the tag of a chunk "
				 "does not match");
	return r < 0 ? r : 0;
}
