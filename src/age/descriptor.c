/* SPDX-License-Identifier: Apache-2.0 */
#include "age/descriptor.h"

#include <errno.h>
#include <unistd.h>

#include "age/age.h"
#include "base/file.h"

#define BUFFER_SIZE ((size_t)256 * 1024)

/* Reads once; 0 bytes at the end. */
static int read_some(int fd, uint8_t *out, size_t size, size_t *got, struct error *err)
{
	ssize_t r;

	do
		r = read(fd, out, size);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_set_errno(err, errno, "reading the input");
	*got = (size_t)r;
	return 0;
}

static int fully_read(struct age_input *input, uint8_t *out, size_t size, size_t *got,
		      struct error *err)
{
	int r = 0;

	*got = 0;
	while (r == 0 && *got < size && !input->is_ended) {
		size_t part = 0;

		r = read_some(input->fd, out + *got, size - *got, &part, err);
		*got += part;
		if (r == 0 && part == 0)
			input->is_ended = true;
	}
	return r;
}

/* Moves the rest to the front and fills the buffer. */
static int raw_fill(struct age_input *input, struct error *err)
{
	size_t left = input->raw.size - input->taken, got = 0;
	int r = secret_reserve(&input->raw, BUFFER_SIZE, err);

	if (r < 0)
		return r;
	if (left > 0)
		memmove(input->raw.data, input->raw.data + input->taken, left);
	input->raw.size = left;
	input->taken = 0;
	r = fully_read(input, input->raw.data + left, BUFFER_SIZE - left, &got, err);
	input->raw.size += got;
	return r;
}

int age_input_detect(struct age_input *input, struct error *err)
{
	int r = raw_fill(input, err);

	if (r == 0)
		input->is_armored = age_armor_detect(secret_span(&input->raw));
	return r;
}

/* Consumes bytes of a buffer. */
static size_t buffer_take(const struct secret *buffer, size_t *taken, uint8_t *out, size_t size)
{
	size_t left = buffer->size - *taken;

	if (size > left)
		size = left;
	if (size > 0)
		memcpy(out, buffer->data + *taken, size);
	*taken += size;
	return size;
}

/* Decodes the complete lines of the buffer. */
static int lines_decode(struct age_input *input, struct error *err)
{
	int r = 0;

	input->decoded.size = 0;
	input->decoded_taken = 0;
	if (input->is_ended && input->taken == input->raw.size)
		return age_armor_decode_end(&input->decoder, err);
	while (r == 0 && input->taken < input->raw.size) {
		const uint8_t *start = input->raw.data + input->taken;
		size_t left = input->raw.size - input->taken, size = left;
		const uint8_t *newline = memchr(start, '\n', left);

		if (newline)
			size = (size_t)(newline - start);
		else if (!input->is_ended && left <= AGE_ARMOR_LINE_MAX)
			break;
		r = age_armor_decode_line(&input->decoder, span_of(start, size), &input->decoded,
					  err);
		input->taken += size + !!newline;
	}
	return r;
}

static int armored_read(struct age_input *input, uint8_t *out, size_t size, size_t *got,
			struct error *err)
{
	*got = 0;
	for (;;) {
		int r;

		*got += buffer_take(&input->decoded, &input->decoded_taken, out + *got,
				    size - *got);
		if (*got == size)
			return 0;
		if (input->is_ended && input->taken == input->raw.size)
			return age_armor_decode_end(&input->decoder, err);
		r = raw_fill(input, err);
		if (r == 0)
			r = lines_decode(input, err);
		if (r < 0)
			return r;
	}
}

int age_input_read(struct age_input *input, uint8_t *out, size_t size, size_t *got,
		   struct error *err)
{
	size_t buffered, rest = 0;
	int r;

	if (input->is_armored)
		return armored_read(input, out, size, got, err);
	buffered = buffer_take(&input->raw, &input->taken, out, size);
	r = fully_read(input, out + buffered, size - buffered, &rest, err);
	*got = buffered + rest;
	return r;
}

void age_input_destroy(struct age_input *input)
{
	secret_destroy(&input->raw);
	secret_destroy(&input->decoded);
}

static int armor_write(struct age_output *output, struct span bytes, bool at_end, struct error *err)
{
	size_t whole;
	int r = 0;

	output->text.size = 0;
	if (!output->is_started)
		r = secret_append_text(&output->text, AGE_ARMOR_BEGIN "\n", err);
	output->is_started = true;
	if (r == 0)
		r = secret_append(&output->pending, bytes, err);
	if (r < 0)
		return r;
	whole = at_end ? output->pending.size
		       : output->pending.size / AGE_ARMOR_LINE_BYTES * AGE_ARMOR_LINE_BYTES;
	r = age_armor_encode_lines(span_of(output->pending.data, whole), &output->text, err);
	if (whole > 0)
		memmove(output->pending.data, output->pending.data + whole,
			output->pending.size - whole);
	output->pending.size -= whole;
	if (r == 0 && at_end)
		r = secret_append_text(&output->text, AGE_ARMOR_END "\n", err);
	return r < 0 ? r : fd_write(output->fd, secret_span(&output->text), "the output", err);
}

int age_output_write(struct age_output *output, struct span bytes, struct error *err)
{
	if (output->is_armored)
		return armor_write(output, bytes, false, err);
	return fd_write(output->fd, bytes, "the output", err);
}

int age_output_finish(struct age_output *output, struct error *err)
{
	return output->is_armored ? armor_write(output, span_of(NULL, 0), true, err) : 0;
}

void age_output_destroy(struct age_output *output)
{
	secret_destroy(&output->pending);
	secret_destroy(&output->text);
}
