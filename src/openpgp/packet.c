/* SPDX-License-Identifier: Apache-2.0 */
#include "openpgp/packet.h"

#include "base/base64.h"

#define ARMOR_BEGIN "-----BEGIN PGP MESSAGE-----"
#define ARMOR_END   "-----END PGP MESSAGE-----"

static int malformed(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the PGP message is malformed");
}

/* Takes a line, without trailing white space. */
static bool line_take(struct span *text, struct span *line)
{
	const uint8_t *end = text->size ? memchr(text->data, '\n', text->size) : NULL;
	size_t size = end ? (size_t)(end - text->data) : text->size;

	if (text->size == 0)
		return false;
	*line = span_of(text->data, size);
	*text = span_of(text->data + size + !!end, text->size - size - !!end);
	while (line->size > 0 && strchr(" \t\r", line->data[line->size - 1]))
		line->size--;
	return true;
}

int pgp_armor_decode(struct span text, struct secret *bytes, struct error *err)
{
	_cleanup_secret_ struct secret characters = {0};
	_cleanup_error_ struct error reason = {0};
	struct span line = {0};
	int r = 0;

	do {
		if (!line_take(&text, &line))
			return malformed(err);
	} while (!span_equal(line, span_of_text(ARMOR_BEGIN)));
	/* Headers, up to an empty line. */
	do {
		if (!line_take(&text, &line))
			return malformed(err);
	} while (line.size > 0);
	while (r == 0) {
		if (!line_take(&text, &line))
			return malformed(err);
		/* The checksum is redundant: the message has a digest. */
		if (span_starts_with(line, span_of_text("=")) ||
		    span_equal(line, span_of_text(ARMOR_END)))
			break;
		r = secret_append(&characters, line, err);
	}
	if (r == 0 &&
	    base64_decode_secret(secret_span(&characters), BASE64_PADDED, bytes, &reason) < 0)
		r = malformed(err);
	return r;
}

static bool number_take(struct span *bytes, size_t octets, size_t *number)
{
	if (bytes->size < octets)
		return false;
	*number = 0;
	for (size_t i = 0; i < octets; i++)
		*number = *number << 8 | bytes->data[i];
	*bytes = span_of(bytes->data + octets, bytes->size - octets);
	return true;
}

/* Section 4.2.2. `partial`: another part follows. */
static bool new_length_take(struct span *bytes, size_t *size, bool *partial)
{
	size_t second;

	*partial = false;
	if (!number_take(bytes, 1, size))
		return false;
	if (*size < 192)
		return true;
	if (*size == 255)
		return number_take(bytes, 4, size);
	if (*size >= 224) {
		*partial = true;
		*size = (size_t)1 << (*size & 0x1f);
		return true;
	}
	if (!number_take(bytes, 1, &second))
		return false;
	*size = ((*size - 192) << 8) + second + 192;
	return true;
}

static int part_take(struct span *bytes, size_t size, struct secret *body, struct error *err)
{
	struct span part = span_of(bytes->data, size);

	if (size > bytes->size)
		return malformed(err);
	*bytes = span_of(bytes->data + size, bytes->size - size);
	return secret_append(body, part, err);
}

int pgp_packet_take(struct span *bytes, unsigned *tag, struct secret *body, struct error *err)
{
	bool partial = true;
	size_t head = 0, size = 0;
	int r = 0;

	if (!number_take(bytes, 1, &head) || (head & 0x80) == 0)
		return malformed(err);
	/* The old form (section 4.2.1): 1, 2 or 4 octets of length, or up to the end. */
	if ((head & 0x40) == 0) {
		*tag = head >> 2 & 0xf;
		if ((head & 3) == 3)
			return part_take(bytes, bytes->size, body, err);
		if (!number_take(bytes, (size_t)1 << (head & 3), &size))
			return malformed(err);
		return part_take(bytes, size, body, err);
	}
	*tag = head & 0x3f;
	while (r == 0 && partial) {
		if (!new_length_take(bytes, &size, &partial))
			return malformed(err);
		r = part_take(bytes, size, body, err);
	}
	return r;
}
