/* SPDX-License-Identifier: Apache-2.0 */
/* A channel key as a credential, and the proof of a guest that has it: "Keys" in docs/protocol.md.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/digest/sha256.h"
#include "base/directory.h"
#include "base/file.h"
#include "channel/channel.h"

#define CREDENTIAL_SIZE_MAX 4096

/* Whether `text` starts with `size` bytes in hexadecimal digits. */
static bool hex_read(struct span text, uint8_t *bytes, size_t size)
{
	static const char digits[16] = "0123456789abcdef";
	uint8_t high = 0;

	if (text.size < 2 * size)
		return false;
	for (size_t i = 0; i < 2 * size; i++) {
		const char *digit = memchr(digits, text.data[i], sizeof(digits));
		const uint8_t value = digit ? (uint8_t)(digit - digits) : 0;

		if (!digit)
			return false;
		if (i % 2 == 0)
			high = value;
		else
			bytes[i / 2] = (uint8_t)(high << 4 | value);
	}
	return true;
}

/* A name that can be logged, and put between spaces. */
static bool unit_read(struct span name, char unit[CHANNEL_UNIT_SIZE_MAX + 1])
{
	if (name.size == 0 || name.size > CHANNEL_UNIT_SIZE_MAX)
		return false;
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] <= ' ' || name.data[i] > '~')
			return false;
	}
	memcpy(unit, name.data, name.size);
	unit[name.size] = '\0';
	return true;
}

static bool key_take(struct span text, struct channel_key *key)
{
	const size_t rest = 1 + 2 * CHANNEL_ID_SIZE + 1 + 2 * CHANNEL_KEY_SIZE + 1;
	const struct span head = span_of_text(CHANNEL_KEY_BEGINNING);

	if (!span_starts_with(text, head))
		return false;
	text = span_skip(text, head.size);
	if (text.size <= rest || !unit_read(span_of(text.data, text.size - rest), key->unit))
		return false;
	text = span_skip(text, text.size - rest);
	return text.data[0] == ' ' && text.data[1 + 2 * CHANNEL_ID_SIZE] == ' ' &&
	       text.data[text.size - 1] == '\n' &&
	       hex_read(span_skip(text, 1), key->id, CHANNEL_ID_SIZE) &&
	       hex_read(span_skip(text, 2 + 2 * CHANNEL_ID_SIZE), key->key, CHANNEL_KEY_SIZE);
}

int channel_key_read(const char *directory, const char *name, struct secret *credential,
		     struct error *err)
{
	_cleanup_close_ int dirfd =
		directory ? dir_open(AT_FDCWD, directory, err) : -VMCRED_MISSING;

	return dirfd < 0 ? dirfd
			 : file_read_secret(dirfd, name, CREDENTIAL_SIZE_MAX, credential, err);
}

int channel_key_parse(struct span text, struct channel_key *key, struct error *err)
{
	*key = (struct channel_key){0};
	if (key_take(text, key))
		return 0;
	memory_wipe(key, sizeof(*key));
	return error_set(err, VMCRED_FAILED, "not a channel key");
}

bool channel_proof_take(struct span bytes, struct channel_proof *proof)
{
	if (bytes.size == 0)
		return true;
	if (bytes.size <= CHANNEL_ID_SIZE + CHANNEL_KEY_SIZE)
		return false;
	memcpy(proof->id, bytes.data, CHANNEL_ID_SIZE);
	memcpy(proof->mac, bytes.data + CHANNEL_ID_SIZE, CHANNEL_KEY_SIZE);
	return unit_read(span_skip(bytes, CHANNEL_ID_SIZE + CHANNEL_KEY_SIZE), proof->unit);
}

void channel_proof_mac(const uint8_t key[CHANNEL_KEY_SIZE], const uint8_t nonce[CHANNEL_NONCE_SIZE],
		       struct span frame, uint8_t mac[CHANNEL_KEY_SIZE])
{
	static const char label[] = "guest"; /* with its NUL */
	const struct span parts[] = {span_of(label, sizeof(label)),
				     span_of(nonce, CHANNEL_NONCE_SIZE), frame};

	hmac_sha256(span_of(key, CHANNEL_KEY_SIZE), parts, sizeof(parts) / sizeof(parts[0]), mac);
}

size_t channel_proof_add(uint8_t request[CHANNEL_REQUEST_SIZE_MAX], size_t size,
			 const struct channel_proof *proof)
{
	const struct span unit = span_of_text(proof->unit);
	const size_t more = CHANNEL_ID_SIZE + CHANNEL_KEY_SIZE + unit.size;
	uint8_t *at = request + CHANNEL_GUEST_HELLO_SIZE;

	memmove(at + more, at, size - CHANNEL_GUEST_HELLO_SIZE);
	memcpy(at, proof->id, CHANNEL_ID_SIZE);
	memcpy(at + CHANNEL_ID_SIZE, proof->mac, CHANNEL_KEY_SIZE);
	memcpy(at + CHANNEL_ID_SIZE + CHANNEL_KEY_SIZE, unit.data, unit.size);
	/* Of the size of HELLO, which is small. */
	request[3] = (uint8_t)(request[3] + more);
	return size + more;
}
