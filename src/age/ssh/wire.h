/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the data types of the SSH protocol (RFC 4251, section 5) from the front of a span.
 */
#ifndef VMCRED_AGE_SSH_WIRE_H
#define VMCRED_AGE_SSH_WIRE_H

#include "base/span.h"

/* Each returns false if the bytes are malformed. */
static inline bool ssh_wire_take(struct span *bytes, size_t size, struct span *out)
{
	if (bytes->size < size)
		return false;
	*out = span_of(bytes->data, size);
	*bytes = span_skip(*bytes, size);
	return true;
}

static inline bool ssh_wire_uint32(struct span *bytes, uint32_t *out)
{
	struct span four;

	if (!ssh_wire_take(bytes, 4, &four))
		return false;
	*out = (uint32_t)four.data[0] << 24 | (uint32_t)four.data[1] << 16 |
	       (uint32_t)four.data[2] << 8 | four.data[3];
	return true;
}

static inline bool ssh_wire_string(struct span *bytes, struct span *out)
{
	uint32_t size;

	return ssh_wire_uint32(bytes, &size) && ssh_wire_take(bytes, size, out);
}

/* A positive number in its only spelling, without the leading zero byte of its sign. */
static inline bool ssh_wire_number(struct span *bytes, struct span *out)
{
	if (!ssh_wire_string(bytes, out) || out->size == 0 || out->data[0] >= 0x80)
		return false;
	if (out->data[0] != 0)
		return true;
	if (out->size < 2 || out->data[1] < 0x80)
		return false;
	*out = span_skip(*out, 1);
	return true;
}

#endif
