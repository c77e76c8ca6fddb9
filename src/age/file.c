/* SPDX-License-Identifier: Apache-2.0 */
/* Whole age files in memory: a header and a payload. */
#include "age/age.h"
#include "age/file_key.h"
#include "age/header.h"
#include "age/stream.h"

static size_t chunk_count(size_t plaintext_size)
{
	return plaintext_size == 0 ? 1 : (plaintext_size - 1) / AGE_CHUNK_SIZE + 1;
}

static int payload_write(struct span plaintext, struct span file_key, struct secret *file,
			 struct error *err)
{
	_cleanup_age_stream_ struct age_stream stream = {0};
	size_t chunks = chunk_count(plaintext.size), end;
	int r = secret_append_random(file, AGE_STREAM_NONCE_SIZE, err);

	if (r < 0)
		return r;
	r = age_stream_create(&stream, file_key, file->data + file->size - AGE_STREAM_NONCE_SIZE,
			      AGE_ENCRYPT, err);
	if (r < 0)
		return r;
	if (__builtin_add_overflow(file->size + chunks * AGE_TAG_SIZE, plaintext.size, &end))
		return error_no_memory(err);
	r = secret_reserve(file, end, err);
	while (r == 0 && chunks-- > 0) {
		bool last = chunks == 0;
		struct span chunk = span_of(plaintext.data, last ? plaintext.size : AGE_CHUNK_SIZE);

		r = age_stream_seal(&stream, chunk, last, file->data + file->size, err);
		file->size += chunk.size + AGE_TAG_SIZE;
		if (!last)
			plaintext = span_skip(plaintext, AGE_CHUNK_SIZE);
	}
	return r;
}

int age_encrypt(struct span plaintext, const struct age_recipients *recipients, struct secret *file,
		struct error *err)
{
	_cleanup_secret_ struct secret file_key = {0};
	int r = age_file_key_create(recipients, &file_key, file, err);

	if (r == 0)
		r = payload_write(plaintext, secret_span(&file_key), file, err);
	return r;
}

static int payload_read(struct span payload, struct span file_key, struct secret *plaintext,
			struct error *err)
{
	_cleanup_age_stream_ struct age_stream stream = {0};
	size_t end, written = 0;
	bool last = false;
	int r;

	if (payload.size < AGE_STREAM_NONCE_SIZE)
		return error_set(err, VMCRED_INTEGRITY, "the age payload is truncated");
	r = age_stream_create(&stream, file_key, payload.data, AGE_DECRYPT, err);
	payload = span_skip(payload, AGE_STREAM_NONCE_SIZE);
	if (r == 0 && __builtin_add_overflow(plaintext->size, payload.size, &end))
		r = error_no_memory(err);
	if (r == 0)
		r = secret_reserve(plaintext, end, err);
	while (r == 0 && !last) {
		struct span sealed = payload;

		last = payload.size <= AGE_SEALED_CHUNK_SIZE;
		if (!last)
			sealed.size = AGE_SEALED_CHUNK_SIZE;
		r = age_stream_open(&stream, sealed, last,
				    plaintext->data + plaintext->size + written, err);
		if (r == 0)
			written += sealed.size - AGE_TAG_SIZE;
		payload = span_skip(payload, sealed.size);
	}
	if (r < 0) {
		/* The chunks before the bad one are genuine, but not the whole file. */
		if (written > 0)
			memory_wipe(plaintext->data + plaintext->size, written);
		return r;
	}
	plaintext->size += written;
	return 0;
}

int age_decrypt(struct span file, const struct age_identities *identities, struct secret *plaintext,
		struct error *err)
{
	_cleanup_age_header_ struct age_header header = {0};
	_cleanup_secret_ struct secret file_key = {0};
	int r = age_header_parse(file, &header, err);

	if (r == 0)
		r = age_file_key_unwrap(&header, identities, &file_key, err);
	if (r < 0)
		return r;
	return payload_read(span_skip(file, header.size), secret_span(&file_key), plaintext, err);
}
