/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds that are random characters and nothing else. */
#include <string.h>

#include "base/base64.h"
#include "vars/builtin/builtin.h"

#define UUID_SIZE 16

int random_below(uint32_t limit, uint32_t *number, struct error *err)
{
	/* The largest multiple of the limit: numbers above it would favour small results. */
	const uint32_t whole = UINT32_MAX - UINT32_MAX % limit;
	_cleanup_secret_ struct secret random = {0};

	do {
		int r;

		random.size = 0;
		r = secret_append_random(&random, sizeof(*number), err);
		if (r < 0)
			return r;
		memcpy(number, random.data, sizeof(*number));
	} while (*number >= whole);
	*number %= limit;
	return 0;
}

/* Random characters of an alphabet of at most 256. */
static int characters_append(const char *alphabet, size_t count, struct secret *out,
			     struct error *err)
{
	const size_t size = strlen(alphabet), whole = 256 - 256 % size;
	_cleanup_secret_ struct secret random = {0};
	int r = secret_reserve(out, count, err);

	while (r == 0 && out->size < count) {
		random.size = 0;
		/* As many as are needed on average, and some instead of rejected ones. */
		r = secret_append_random(&random, count - out->size + 16, err);
		for (size_t i = 0; r == 0 && i < random.size && out->size < count; i++) {
			if (random.data[i] < whole)
				out->data[out->size++] = (uint8_t)alphabet[random.data[i] % size];
		}
	}
	return r;
}

static int hex_append(struct span bytes, struct secret *out, struct error *err)
{
	static const char digits[] = "0123456789abcdef";
	int r = secret_reserve(out, out->size + 2 * bytes.size, err);

	for (size_t i = 0; r == 0 && i < bytes.size; i++) {
		out->data[out->size++] = (uint8_t)digits[bytes.data[i] >> 4];
		out->data[out->size++] = (uint8_t)digits[bytes.data[i] & 15];
	}
	return r;
}

/* A random UUID (RFC 9562, section 5.4), with `separator` between its five parts. */
static int uuid_append(const char *separator, struct secret *out, struct error *err)
{
	static const uint8_t ends[] = {4, 6, 8, 10, UUID_SIZE};
	_cleanup_secret_ struct secret random = {0};
	int r = secret_append_random(&random, UUID_SIZE, err);

	if (r < 0)
		return r;
	random.data[6] = (uint8_t)((random.data[6] & 0x0f) | 0x40);
	random.data[8] = (uint8_t)((random.data[8] & 0x3f) | 0x80);
	for (size_t i = 0, at = 0; r == 0 && i < sizeof(ends); at = ends[i++]) {
		r = i > 0 ? secret_append_text(out, separator, err) : 0;
		if (r == 0)
			r = hex_append(span_of(random.data + at, ends[i] - at), out, err);
	}
	return r;
}

int random_append_base64url(size_t size, struct secret *out, struct error *err)
{
	_cleanup_secret_ struct secret random = {0};
	const size_t start = out->size;
	int r = secret_append_random(&random, size, err);

	if (r == 0)
		r = base64_encode_secret(secret_span(&random), BASE64_UNPADDED, out, err);
	for (size_t i = start; r == 0 && i < out->size; i++) {
		if (out->data[i] == '+')
			out->data[i] = '-';
		else if (out->data[i] == '/')
			out->data[i] = '_';
	}
	return r;
}

int kind_random_make(const struct kind_task *task, struct secret *content,
		     struct secret *public_half, struct error *err)
{
	const struct config_builtin *kind = &task->file->builtin;
	_cleanup_secret_ struct secret random = {0};
	int r;

	(void)public_half;
	switch (kind->type) {
	case CONFIG_BUILTIN_ALPHANUMERIC:
		return characters_append(
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
			kind->size, content, err);
	case CONFIG_BUILTIN_PIN:
		return characters_append("0123456789", kind->size, content, err);
	case CONFIG_BUILTIN_UUID:
		return uuid_append("-", content, err);
	case CONFIG_BUILTIN_MACHINE_ID: /* machine-id(5): with a newline */
		r = uuid_append("", content, err);
		return r < 0 ? r : secret_append_text(content, "\n", err);
	case CONFIG_BUILTIN_BASE64URL:
		return random_append_base64url(kind->size, content, err);
	default:
		break;
	}
	r = secret_append_random(&random, kind->size, err);
	if (r < 0)
		return r;
	return kind->type == CONFIG_BUILTIN_HEX
		       ? hex_append(secret_span(&random), content, err)
		       : base64_encode_secret(secret_span(&random), BASE64_PADDED, content, err);
}
