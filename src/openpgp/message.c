/* SPDX-License-Identifier: Apache-2.0 */
#include "openpgp/openpgp.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/cleanup.h"
#include "openpgp/packet.h"

#define SHA1_SIZE 20

/* Section 5.14: two octets before the digest. */
#define MDC_SIZE (2 + SHA1_SIZE)

#define BLOCK_SIZE_MAX 16
#define KEY_SIZE_MAX   32

/* Section 9.2: what libcrypto has without its legacy provider. gpg uses TripleDES for a key without
 * preferences, such as one by ssh-to-pgp. */
static const struct cipher {
	uint8_t id, key_size, block_size;
	const char *name;
} ciphers[] = {
	{2, 24, 8, "DES-EDE3-CFB"},       {7, 16, 16, "AES-128-CFB"},
	{8, 24, 16, "AES-192-CFB"},       {9, 32, 16, "AES-256-CFB"},
	{11, 16, 16, "CAMELLIA-128-CFB"}, /* RFC 5581 */
	{12, 24, 16, "CAMELLIA-192-CFB"}, {13, 32, 16, "CAMELLIA-256-CFB"},
};

struct session {
	const struct cipher *cipher; /* NULL while unknown */
	struct secret key;
};

static void session_release(struct session *session)
{
	secret_destroy(&session->key);
}

static int unsupported(struct error *err, const char *what)
{
	error_set(err, VMCRED_FAILED, "the PGP message uses %s, which is not supported", what);
	return error_hint(err, "encrypt it again with the defaults of gpg");
}

static int modified(struct error *err)
{
	return error_set(err, VMCRED_INTEGRITY, "the PGP message was modified");
}

/* Section 5.1: the cipher, its key, and the sum of the key's octets. */
static int session_read(struct session *session, struct span opened, struct error *err)
{
	unsigned sum = 0;
	int r;

	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		if (opened.size < 1 || opened.data[0] != ciphers[i].id)
			continue;
		if (opened.size != 1U + ciphers[i].key_size + 2U)
			return modified(err);
		for (size_t at = 1; at < opened.size - 2; at++)
			sum += opened.data[at];
		if (opened.data[opened.size - 2] != (uint8_t)(sum >> 8) ||
		    opened.data[opened.size - 1] != (uint8_t)sum)
			return modified(err);
		r = secret_copy(&session->key, span_of(opened.data + 1, ciphers[i].key_size), err);
		if (r == 0)
			session->cipher = &ciphers[i];
		return r;
	}
	return unsupported(err, "an unknown cipher");
}

/* RSA takes the number of a session key packet padded to the length of the modulus. */
static int rsa_open(const struct age_rsa_key *key, struct span number, struct secret *opened,
		    struct error *err)
{
	static const uint8_t zeros[64];
	_cleanup_secret_ struct secret ciphertext = {0};
	size_t size = age_rsa_key_modulus(key).size;
	int r = 0;

	if (number.size < 2 || number.size - 2 > size || size - (number.size - 2) > sizeof(zeros))
		return modified(err);
	r = secret_append(&ciphertext, span_of(zeros, size - (number.size - 2)), err);
	if (r == 0)
		r = secret_append(&ciphertext, span_of(number.data + 2, number.size - 2), err);
	return r < 0 ? r : age_rsa_key_decrypt(key, secret_span(&ciphertext), opened, err);
}

/* Section 5.1: version 3, the key's ID (all zero: hidden), RSA. */
static int session_try(const struct pgp_keys *keys, struct span packet, struct session *session,
		       struct error *err)
{
	static const uint8_t hidden[PGP_KEY_ID_SIZE];
	struct span id = span_of(packet.data + 1, PGP_KEY_ID_SIZE), number;
	bool is_hidden;

	if (packet.size < 2 + PGP_KEY_ID_SIZE || packet.data[0] != 3 ||
	    packet.data[1 + PGP_KEY_ID_SIZE] < 1 || packet.data[1 + PGP_KEY_ID_SIZE] > 2)
		return 0;
	is_hidden = span_equal(id, span_of(hidden, sizeof(hidden)));
	number = span_of(packet.data + 2 + PGP_KEY_ID_SIZE, packet.size - 2 - PGP_KEY_ID_SIZE);
	for (size_t i = 0; i < keys->count && !session->cipher; i++) {
		_cleanup_secret_ struct secret opened = {0};
		_cleanup_error_ struct error reason = {0};
		int r;

		if (!is_hidden && !span_equal(id, span_of(keys->items[i].id, PGP_KEY_ID_SIZE)))
			continue;
		r = rsa_open(keys->items[i].rsa, number, &opened, &reason);
		if (r == 0)
			r = session_read(session, secret_span(&opened), &reason);
		if (r < 0 && !is_hidden) {
			error_clear(err);
			*err = reason;
			reason = (struct error){0};
			return r;
		}
	}
	return 0;
}

static int cfb_decrypt(const struct session *session, struct span ciphertext,
		       struct secret *plaintext, struct error *err)
{
	static const uint8_t zero_iv[BLOCK_SIZE_MAX];
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, session->cipher->name, NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int size = 0, r = secret_create(plaintext, ciphertext.size, err);
	bool done = r == 0 && cipher && context && ciphertext.size <= INT_MAX &&
		    EVP_DecryptInit_ex2(context, cipher, session->key.data, zero_iv, NULL) == 1 &&
		    EVP_DecryptUpdate(context, plaintext->data, &size, ciphertext.data,
				      (int)ciphertext.size) == 1;

	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(cipher);
	ERR_clear_error();
	if (r == 0 && !done)
		return error_set(err, VMCRED_FAILED, "libcrypto failed to decrypt with %s",
				 session->cipher->name);
	plaintext->size = done ? (size_t)size : 0;
	return r;
}

/* Section 5.13: a random block, its last two octets again, packets, and the digest of all. */
static int body_open(const struct session *session, struct span body, struct secret *plaintext,
		     struct span *packets, struct error *err)
{
	size_t block = session->cipher->block_size, size = SHA1_SIZE;
	uint8_t digest[SHA1_SIZE];
	struct span whole;
	int r;

	if (body.size < 1 + block + 2 + MDC_SIZE || body.data[0] != 1)
		return modified(err);
	r = cfb_decrypt(session, span_of(body.data + 1, body.size - 1), plaintext, err);
	if (r < 0)
		return r;
	whole = secret_span(plaintext);
	if (EVP_Q_digest(NULL, "SHA1", NULL, whole.data, whole.size - SHA1_SIZE, digest, &size) !=
	    1) {
		ERR_clear_error();
		return error_set(err, VMCRED_FAILED, "libcrypto failed to compute a digest");
	}
	r = secret_equal(span_of(digest, SHA1_SIZE),
			 span_of(whole.data + whole.size - SHA1_SIZE, SHA1_SIZE));
	memory_wipe(digest, sizeof(digest));
	if (!r || whole.data[whole.size - MDC_SIZE] != 0xd3 ||
	    whole.data[whole.size - MDC_SIZE + 1] != SHA1_SIZE)
		return modified(err);
	*packets = span_of(whole.data + block + 2, whole.size - block - 2 - MDC_SIZE);
	return 0;
}

/* Section 5.9: a format, a file name and a time before the data. */
static int literal_read(struct span packet, struct secret *plaintext, struct error *err)
{
	size_t head = packet.size < 2 ? 0 : (size_t)2 + packet.data[1] + 4;

	if (head == 0 || head > packet.size)
		return error_set(err, VMCRED_FAILED, "the PGP message is malformed");
	return secret_append(plaintext, span_of(packet.data + head, packet.size - head), err);
}

/* Section 5.6. */
static int compressed_read(struct span packet, struct secret *packets, struct error *err)
{
	size_t head = 1;

	if (packet.size >= 1 && packet.data[0] == 0)
		return secret_append(packets, span_of(packet.data + 1, packet.size - 1), err);
	if (packet.size < 3 || packet.data[0] > 2)
		return unsupported(err, "an unknown compression");
	/* ZLIB (RFC 1950) has two octets more at its beginning. */
	if (packet.data[0] == 2)
		head += 2;
	return pgp_inflate(span_of(packet.data + head, packet.size - head), PGP_MESSAGE_SIZE_MAX,
			   packets, err);
}

/* The content: literal data, possibly compressed, possibly with signatures around it. */
static int content_read(struct span packets, bool is_compressed, struct secret *plaintext,
			struct error *err)
{
	while (packets.size > 0) {
		_cleanup_secret_ struct secret packet = {0}, inner = {0};
		unsigned tag = 0;
		int r = pgp_packet_take(&packets, &tag, &packet, err);

		if (r == 0 && tag == PGP_LITERAL)
			return literal_read(secret_span(&packet), plaintext, err);
		if (r == 0 && tag == PGP_COMPRESSED && !is_compressed) {
			r = compressed_read(secret_span(&packet), &inner, err);
			return r < 0 ? r : content_read(secret_span(&inner), true, plaintext, err);
		}
		if (r < 0)
			return r;
	}
	return error_set(err, VMCRED_FAILED, "the PGP message has no literal data");
}

int pgp_message_decrypt(const struct pgp_keys *keys, struct span text, struct secret *plaintext,
			struct error *err)
{
	__attribute__((cleanup(session_release))) struct session session = {0};
	_cleanup_secret_ struct secret message = {0};
	struct span bytes, packets = {0};
	int r;

	if (text.size > PGP_MESSAGE_SIZE_MAX)
		return error_set(err, VMCRED_FAILED, "the PGP message is larger than %zu bytes",
				 PGP_MESSAGE_SIZE_MAX);
	r = pgp_armor_decode(text, &message, err);
	bytes = secret_span(&message);
	while (r == 0 && bytes.size > 0) {
		_cleanup_secret_ struct secret packet = {0}, opened = {0};
		unsigned tag = 0;

		r = pgp_packet_take(&bytes, &tag, &packet, err);
		if (r == 0 && tag == PGP_SESSION_KEY && !session.cipher)
			r = session_try(keys, secret_span(&packet), &session, err);
		if (r < 0 || !session.cipher || tag == PGP_SESSION_KEY)
			continue;
		if (tag != PGP_ENCRYPTED)
			return unsupported(err, "an encryption without a digest (MDC)");
		r = body_open(&session, secret_span(&packet), &opened, &packets, err);
		if (r == 0)
			r = content_read(packets, false, plaintext, err);
		return r < 0 ? r : 1;
	}
	return r;
}
