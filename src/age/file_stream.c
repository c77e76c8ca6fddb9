/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Age files from one descriptor to another, in constant memory: a few chunks at a time, and one
 * byte more, which shows whether a chunk is the last one.
 */
#include "age/age.h"
#include "age/descriptor.h"
#include "age/file_key.h"
#include "age/header.h"
#include "age/stream.h"

/* Chunks to read at once: few enough for the cache, enough to make system calls cheap. */
#define BATCH 4

/* Ten thousand recipients of the largest type. */
#define HEADER_SIZE_MAX ((size_t)16 * 1024 * 1024)

/* Bytes of the header to read first; then it doubles. */
#define HEADER_START 4096

struct transfer {
	struct age_input *input;
	struct age_output *output;
	struct age_stream stream;
	struct secret in, out;
	size_t in_chunk, out_chunk; /* sizes of a full chunk */
	int (*chunk)(struct age_stream *stream, struct span chunk, bool last, uint8_t *out,
		     struct error *err);
};

/* Seals or opens the chunks that were read, and writes the result. */
static int batch_run(struct transfer *t, size_t size, bool last, struct error *err)
{
	size_t at = 0, written = 0;
	int r = 0;

	do {
		size_t part = size - at < t->in_chunk ? size - at : t->in_chunk;
		bool last_chunk = last && at + part == size;

		r = t->chunk(&t->stream, span_of(t->in.data + at, part), last_chunk,
			     t->out.data + written, err);
		if (r == 0) {
			at += part;
			/* A chunk that was opened is longer than its tag. */
			written += part + t->out_chunk - t->in_chunk;
		}
	} while (r == 0 && at < size);
	/* Write verified chunks even if the next one is not genuine. */
	if (written > 0) {
		_cleanup_error_ struct error reason = {0};
		int w = age_output_write(t->output, span_of(t->out.data, written),
					 r < 0 ? &reason : err);

		r = r < 0 ? r : w;
	}
	return r;
}

static int payload_run(struct transfer *t, struct error *err)
{
	size_t full = BATCH * t->in_chunk, held = 0, got = 0;
	int r = secret_create(&t->in, full + 1, err);

	if (r == 0)
		r = secret_create(&t->out, BATCH * AGE_SEALED_CHUNK_SIZE, err);
	while (r == 0) {
		bool last;

		r = age_input_read(t->input, t->in.data + held, full + 1 - held, &got, err);
		if (r < 0)
			break;
		held += got;
		last = held <= full;
		r = batch_run(t, last ? held : full, last, err);
		if (last)
			break;
		t->in.data[0] = t->in.data[full];
		held = 1;
	}
	secret_destroy(&t->in);
	secret_destroy(&t->out);
	return r;
}

int age_encrypt_stream(int in_fd, int out_fd, const struct age_recipients *recipients, bool armor,
		       struct error *err)
{
	_cleanup_age_input_ struct age_input input = {.fd = in_fd};
	_cleanup_age_output_ struct age_output output = {.fd = out_fd, .is_armored = armor};
	_cleanup_secret_ struct secret file_key = {0}, header = {0};
	struct transfer transfer = {
		.input = &input,
		.output = &output,
		.in_chunk = AGE_CHUNK_SIZE,
		.out_chunk = AGE_SEALED_CHUNK_SIZE,
		.chunk = age_stream_seal,
	};
	int r = age_file_key_create(recipients, &file_key, &header, err);

	if (r == 0)
		r = secret_append_random(&header, AGE_STREAM_NONCE_SIZE, err);
	if (r == 0)
		r = age_stream_create(&transfer.stream, secret_span(&file_key),
				      header.data + header.size - AGE_STREAM_NONCE_SIZE,
				      AGE_ENCRYPT, err);
	if (r == 0)
		r = age_output_write(&output, secret_span(&header), err);
	if (r == 0)
		r = payload_run(&transfer, err);
	if (r == 0)
		r = age_output_finish(&output, err);
	age_stream_destroy(&transfer.stream);
	return r;
}

/* Whether the text contains a whole header; the last line starts with "---". */
static bool header_is_whole(struct span text)
{
	static const char mac_start[] = "\n---";
	const uint8_t *mac = memmem(text.data, text.size, mac_start, strlen(mac_start));

	return mac && memchr(mac + 1, '\n', text.size - (size_t)(mac + 1 - text.data));
}

/* Reads the header, and usually a part of the payload, into `start`. */
static int header_read(struct age_input *input, struct secret *start, struct error *err)
{
	static const char intro[] = "age-encryption.org/";

	for (;;) {
		size_t step = start->size > 0 ? start->size : HEADER_START, got = 0;
		int r = secret_reserve(start, start->size + step, err);

		if (r == 0)
			r = age_input_read(input, start->data + start->size, step, &got, err);
		if (r < 0)
			return r;
		start->size += got;
		/* Anything but an age file need not be read on; the parser reports it. */
		if (got < step || header_is_whole(secret_span(start)) ||
		    !span_starts_with(secret_span(start), span_of_text(intro)))
			return 0;
		if (start->size > HEADER_SIZE_MAX)
			return error_set(err, VMCRED_FAILED,
					 "the age header is larger than %zu bytes",
					 HEADER_SIZE_MAX);
	}
}

/* Puts the part of the payload that was read with the header back into the input. */
static int input_restart(struct age_input *input, struct span rest, struct error *err)
{
	_cleanup_secret_ struct secret joined = {0};
	struct secret *buffer = input->is_armored ? &input->decoded : &input->raw;
	size_t *taken = input->is_armored ? &input->decoded_taken : &input->taken;
	int r = secret_copy(&joined, rest, err);

	if (r == 0)
		r = secret_append(&joined, span_of(buffer->data + *taken, buffer->size - *taken),
				  err);
	if (r < 0)
		return r;
	secret_destroy(buffer);
	secret_move(buffer, &joined);
	*taken = 0;
	return 0;
}

int age_decrypt_stream(int in_fd, int out_fd, const struct age_identities *identities,
		       struct error *err)
{
	_cleanup_age_input_ struct age_input input = {.fd = in_fd};
	_cleanup_age_output_ struct age_output output = {.fd = out_fd};
	_cleanup_age_header_ struct age_header header = {0};
	_cleanup_secret_ struct secret file_key = {0}, start = {0};
	struct transfer transfer = {
		.input = &input,
		.output = &output,
		.in_chunk = AGE_SEALED_CHUNK_SIZE,
		.out_chunk = AGE_CHUNK_SIZE,
		.chunk = age_stream_open,
	};
	uint8_t nonce[AGE_STREAM_NONCE_SIZE];
	size_t got = 0;
	int r = age_input_detect(&input, err);

	if (r == 0)
		r = header_read(&input, &start, err);
	if (r == 0)
		r = age_header_parse(secret_span(&start), &header, err);
	if (r == 0)
		r = age_file_key_unwrap(&header, identities, &file_key, err);
	if (r == 0)
		r = input_restart(&input,
				  span_of(start.data + header.size, start.size - header.size), err);
	if (r == 0)
		r = age_input_read(&input, nonce, sizeof(nonce), &got, err);
	if (r == 0 && got < sizeof(nonce))
		r = error_set(err, VMCRED_INTEGRITY, "the age payload is truncated");
	if (r == 0)
		r = age_stream_create(&transfer.stream, secret_span(&file_key), nonce, AGE_DECRYPT,
				      err);
	if (r == 0)
		r = payload_run(&transfer, err);
	age_stream_destroy(&transfer.stream);
	return r;
}
