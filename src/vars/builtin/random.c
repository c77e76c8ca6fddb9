/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds that are random characters and nothing else. */
#include <string.h>

#include "base/base64.h"
#include "vars/builtin/builtin.h"

#define ID_SIZE 16 /* a UUID's bytes */

static int random_bytes(struct secret *bytes, size_t size, struct error *err)
{
	return secret_append_random(bytes, size, err);
}

int random_below(uint32_t limit, uint32_t *number, struct error *err)
{
	/* The largest multiple of the limit: what lies above it would favour small numbers. */
	const uint32_t whole = UINT32_MAX - UINT32_MAX % limit;
	_cleanup_secret_ struct secret random = {0};

	do {
		int r;

		random.size = 0;
		r = random_bytes(&random, sizeof(*number), err);
		if (r < 0)
			return r;
		memcpy(number, random.data, sizeof(*number));
	} while (*number >= whole);
	*number %= limit;
	return 0;
}

/* Random characters of an alphabet of at most 256. */
static int characters_make(const char *alphabet, size_t count, struct secret *content,
			   struct error *err)
{
	const size_t size = strlen(alphabet), whole = 256 - 256 % size;
	_cleanup_secret_ struct secret random = {0};
	int r = secret_reserve(content, count, err);

	while (r == 0 && content->size < count) {
		random.size = 0;
		/* As many as are needed on average, and a few for those that are dropped. */
		r = random_bytes(&random, count - content->size + 16, err);
		for (size_t i = 0; r == 0 && i < random.size && content->size < count; i++) {
			if (random.data[i] < whole)
				content->data[content->size++] =
					(uint8_t)alphabet[random.data[i] % size];
		}
	}
	return r;
}

static int hex_append(struct secret *out, struct span bytes, struct error *err)
{
	static const char digits[] = "0123456789abcdef";
	int r = secret_reserve(out, out->size + 2 * bytes.size, err);

	for (size_t i = 0; r == 0 && i < bytes.size; i++) {
		out->data[out->size++] = (uint8_t)digits[bytes.data[i] >> 4];
		out->data[out->size++] = (uint8_t)digits[bytes.data[i] & 15];
	}
	return r;
}

int kind_base64_make(const struct kind_task *task, struct secret *content,
		     struct secret *public_half, struct error *err)
{
	_cleanup_secret_ struct secret random = {0};
	int r = random_bytes(&random, task->file->builtin.size, err);

	(void)public_half;
	return r < 0 ? r : base64_encode_secret(secret_span(&random), BASE64_PADDED, content, err);
}

/* RFC 4648, section 5, without padding: what stands in URLs and in JSON Web Keys. */
int kind_base64url_make(const struct kind_task *task, struct secret *content,
			struct secret *public_half, struct error *err)
{
	_cleanup_secret_ struct secret random = {0};
	int r = random_bytes(&random, task->file->builtin.size, err);

	(void)public_half;
	if (r == 0)
		r = base64_encode_secret(secret_span(&random), BASE64_UNPADDED, content, err);
	for (size_t i = 0; i < content->size; i++) {
		if (content->data[i] == '+')
			content->data[i] = '-';
		else if (content->data[i] == '/')
			content->data[i] = '_';
	}
	return r;
}

int kind_hex_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err)
{
	_cleanup_secret_ struct secret random = {0};
	int r = random_bytes(&random, task->file->builtin.size, err);

	(void)public_half;
	return r < 0 ? r : hex_append(content, secret_span(&random), err);
}

int kind_alphanumeric_make(const struct kind_task *task, struct secret *content,
			   struct secret *public_half, struct error *err)
{
	(void)public_half;
	return characters_make("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
			       task->file->builtin.size, content, err);
}

int kind_pin_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err)
{
	(void)public_half;
	return characters_make("0123456789", task->file->builtin.size, content, err);
}

/* A random UUID (RFC 9562, section 5.4) in hexadecimal, with `joint` between its five parts. */
static int id_make(const char *joint, struct secret *content, struct error *err)
{
	static const uint8_t ends[] = {4, 6, 8, 10, ID_SIZE};
	_cleanup_secret_ struct secret random = {0};
	int r = random_bytes(&random, ID_SIZE, err);

	if (r < 0)
		return r;
	random.data[6] = (uint8_t)((random.data[6] & 0x0f) | 0x40);
	random.data[8] = (uint8_t)((random.data[8] & 0x3f) | 0x80);
	for (size_t i = 0, at = 0; r == 0 && i < sizeof(ends); at = ends[i++]) {
		r = i > 0 ? secret_append_text(content, joint, err) : 0;
		if (r == 0)
			r = hex_append(content, span_of(random.data + at, ends[i] - at), err);
	}
	return r;
}

int kind_uuid_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		   struct error *err)
{
	(void)task;
	(void)public_half;
	return id_make("-", content, err);
}

/* machine-id(5): 32 hexadecimal characters and a line break. */
int kind_machine_id_make(const struct kind_task *task, struct secret *content,
			 struct secret *public_half, struct error *err)
{
	int r = id_make("", content, err);

	(void)task;
	(void)public_half;
	return r < 0 ? r : secret_append_text(content, "\n", err);
}
