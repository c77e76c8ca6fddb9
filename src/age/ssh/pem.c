/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in PEM, from ssh-keygen before 2018 and `openssl genpkey`: RSA in PKCS#1 (RFC 8017,
 * A.1.2), possibly encrypted with RFC 1421's headers, and RSA and Ed25519 in PKCS#8 (RFC 5958, RFC
 * 8410).
 */

#include <openssl/evp.h>

#include "age/primitives.h"
#include "age/ssh/key.h"
#include "base/base64.h"

#define LABEL_PKCS1 "RSA PRIVATE KEY"
#define LABEL_PKCS8 "PRIVATE KEY"

#define LABEL_SIZE_MAX 64

static int malformed(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the PEM text is malformed");
}

static bool is_space(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Removes a line from the text, without its end and spaces before it. */
static bool line_take(struct span *text, struct span *line)
{
	if (!span_take_line(text, line))
		return false;
	while (line->size > 0 && is_space(line->data[line->size - 1]))
		line->size--;
	return true;
}

/* The headers up to the empty line, if the text begins with one. */
static void headers_take(struct span *text, struct span *headers)
{
	struct span rest = *text, line = {0};

	*headers = span_of(text->data, 0);
	while (line_take(&rest, &line) && line.size > 0) {
		if (headers->size == 0 && !memchr(line.data, ':', line.size))
			return;
		headers->size = (size_t)(rest.data - headers->data);
	}
	*text = rest;
}

int ssh_pem_decode(struct span text, const char *label, struct span *headers, struct secret *body,
		   struct error *err)
{
	char begin[LABEL_SIZE_MAX], end[LABEL_SIZE_MAX];
	_cleanup_secret_ struct secret characters = {0};
	_cleanup_error_ struct error reason = {0};
	struct span line = {0};
	int r = 0;

	snprintf(begin, sizeof(begin), "-----BEGIN %s-----", label);
	snprintf(end, sizeof(end), "-----END %s-----", label);
	if (!line_take(&text, &line) || !span_equal(line, span_of_text(begin)))
		return malformed(err);
	headers_take(&text, headers);
	for (;;) {
		if (!line_take(&text, &line))
			return malformed(err);
		if (span_equal(line, span_of_text(end)))
			break;
		/* As in Go, lines may be indented, but not the first and the last one. */
		while (line.size > 0 && is_space(line.data[0]))
			line = span_skip(line, 1);
		r = secret_append(&characters, line, err);
		if (r < 0)
			return r;
	}
	if (base64_decode_secret(secret_span(&characters), BASE64_PADDED, body, &reason) < 0)
		return malformed(err);
	return 0;
}

#define DER_INTEGER      0x02
#define DER_OCTET_STRING 0x04
#define DER_OBJECT       0x06
#define DER_SEQUENCE     0x30

/* The contents of the next element, which must have this tag (X.690, 8.1). */
static bool der_take(struct span *bytes, uint8_t tag, struct span *contents)
{
	size_t size, at = 2;

	if (bytes->size < 2 || bytes->data[0] != tag)
		return false;
	size = bytes->data[1];
	if (size >= 0x80) {
		size_t octets = size & 0x7f;

		if (octets == 0 || octets > 3 || bytes->size < 2 + octets)
			return false;
		for (size = 0; at < 2 + octets; at++)
			size = size << 8 | bytes->data[at];
	}
	if (bytes->size - at < size)
		return false;
	*contents = span_of(bytes->data + at, size);
	*bytes = span_skip(*bytes, at + size);
	return true;
}

/* A positive number, without the leading zero byte of its sign. */
static bool der_number(struct span *bytes, struct span *number)
{
	if (!der_take(bytes, DER_INTEGER, number) || number->size == 0 || number->data[0] >= 0x80)
		return false;
	if (number->data[0] == 0 && number->size > 1)
		*number = span_skip(*number, 1);
	return true;
}

static int damaged(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the private key is damaged");
}

static int pkcs1_parse(struct span body, const struct ssh_public_key *public_key,
		       struct ssh_private_key *key, struct error *err)
{
	struct span sequence, version;

	(void)public_key;
	if (!der_take(&body, DER_SEQUENCE, &sequence) ||
	    !der_take(&sequence, DER_INTEGER, &version) || !span_equal(version, span_of("\0", 1)) ||
	    !der_number(&sequence, &key->modulus) || !der_number(&sequence, &key->exponent) ||
	    !der_number(&sequence, &key->secret_exponent) || !der_number(&sequence, &key->prime1) ||
	    !der_number(&sequence, &key->prime2))
		return damaged(err);
	return 0;
}

static int seed_parse(struct span body, const struct ssh_public_key *public_key,
		      struct ssh_private_key *key, struct error *err)
{
	(void)public_key;
	if (!der_take(&body, DER_OCTET_STRING, &key->seed) ||
	    key->seed.size != SSH_ED25519_KEY_SIZE || body.size > 0)
		return damaged(err);
	return 0;
}

/* The object identifiers of PKCS#8, and the parsers of their keys. */
static const struct {
	struct span name;
	int (*body_parse)(struct span body, const struct ssh_public_key *public_key,
			  struct ssh_private_key *key, struct error *err);
} algorithms[] = {
	{{(const uint8_t *)"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9}, pkcs1_parse},
	{{(const uint8_t *)"\x2b\x65\x70", 3}, seed_parse},
};

/* Replaces the body with the key in the PKCS#8 wrapping. */
static int pkcs8_unwrap(struct ssh_private_file *file, struct error *err)
{
	_cleanup_secret_ struct secret outer = {0};
	struct span bytes, sequence, version, algorithm, name, inner;

	secret_move(&outer, &file->body);
	bytes = secret_span(&outer);
	if (!der_take(&bytes, DER_SEQUENCE, &sequence) ||
	    !der_take(&sequence, DER_INTEGER, &version) ||
	    !der_take(&sequence, DER_SEQUENCE, &algorithm) ||
	    !der_take(&algorithm, DER_OBJECT, &name) ||
	    !der_take(&sequence, DER_OCTET_STRING, &inner))
		return damaged(err);
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
		if (!span_equal(name, algorithms[i].name))
			continue;
		file->body_parse = algorithms[i].body_parse;
		return secret_copy(&file->body, inner, err);
	}
	return error_set(err, VMCRED_FAILED,
			 "unsupported key type: age supports only Ed25519 and RSA keys");
}

static int wire_append(struct secret *wire, struct span bytes, bool is_number, struct error *err)
{
	/* A number with the first bit set would be negative. */
	bool has_zero = is_number && bytes.size > 0 && bytes.data[0] >= 0x80;
	size_t size = bytes.size + has_zero;
	const uint8_t length[] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16),
				  (uint8_t)(size >> 8), (uint8_t)size, 0};
	int r = secret_append(wire, span_of(length, 4U + has_zero), err);

	return r < 0 ? r : secret_append(wire, bytes, err);
}

/* Reads or computes the public key of a private key, in SSH's form. */
static int public_key_make(struct ssh_private_file *file, struct error *err)
{
	_cleanup_ssh_private_key_ struct ssh_private_key key = {0};
	_cleanup_secret_ struct secret wire = {0};
	uint8_t point[SSH_ED25519_KEY_SIZE];
	size_t size = sizeof(point);
	EVP_PKEY *pair;
	int r = file->body_parse(secret_span(&file->body), NULL, &key, err);

	if (r == 0 && key.modulus.size > 0) {
		r = wire_append(&wire, span_of_text(ssh_key_type_name(SSH_RSA)), false, err);
		if (r == 0)
			r = wire_append(&wire, key.exponent, true, err);
		if (r == 0)
			r = wire_append(&wire, key.modulus, true, err);
	} else if (r == 0) {
		pair = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, key.seed.data,
						       key.seed.size);
		if (!pair || EVP_PKEY_get_raw_public_key(pair, point, &size) != 1)
			r = age_crypto_failed(err, "compute an Ed25519 public key");
		EVP_PKEY_free(pair);
		if (r == 0)
			r = wire_append(&wire, span_of_text(ssh_key_type_name(SSH_ED25519)), false,
					err);
		if (r == 0)
			r = wire_append(&wire, span_of(point, sizeof(point)), false, err);
	}
	return r < 0 ? r : ssh_public_key_read(secret_span(&wire), &file->public_key, err);
}

static const struct {
	const char *cipher; /* libcrypto's name, and the header's */
	uint8_t key_size, iv_size;
} ciphers[] = {
	{"AES-128-CBC", 16, 16},
	{"AES-192-CBC", 24, 16},
	{"AES-256-CBC", 32, 16},
	{"DES-EDE3-CBC", 24, 8},
};

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int iv_read(struct span hex, struct ssh_encryption *encryption, struct error *err)
{
	if (hex.size != 2 * encryption->iv_size)
		return malformed(err);
	for (size_t i = 0; i < hex.size; i += 2) {
		int high = hex_digit(hex.data[i]), low = hex_digit(hex.data[i + 1]);
		uint8_t byte;
		int r;

		if (high < 0 || low < 0)
			return malformed(err);
		byte = (uint8_t)(high << 4 | low);
		r = secret_append(&encryption->salt, span_of(&byte, 1), err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* RFC 1421, 4.6.1.3: `DEK-Info: cipher,iv` */
static int encryption_read(struct span headers, struct ssh_encryption *encryption,
			   struct error *err)
{
	struct span line = {0}, prefix = span_of_text("DEK-Info: ");

	while (line_take(&headers, &line)) {
		const uint8_t *comma;
		struct span name;

		if (!span_starts_with(line, prefix))
			continue;
		line = span_skip(line, prefix.size);
		comma = line.size ? memchr(line.data, ',', line.size) : NULL;
		if (!comma)
			return malformed(err);
		name = span_of(line.data, (size_t)(comma - line.data));
		for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
			if (!span_equal(name, span_of_text(ciphers[i].cipher)))
				continue;
			encryption->cipher = ciphers[i].cipher;
			encryption->key_size = ciphers[i].key_size;
			encryption->iv_size = ciphers[i].iv_size;
			return iv_read(span_of(comma + 1, line.size - name.size - 1), encryption,
				       err);
		}
		error_set(err, VMCRED_FAILED, "unsupported cipher of the encrypted private key");
		return error_hint(err, "convert it with `ssh-keygen -p -f FILE`");
	}
	return 0;
}

static int public_text_read(struct span public_text, struct ssh_private_file *file,
			    struct error *err)
{
	struct span line;

	if (!line_take(&public_text, &line)) {
		error_set(err, VMCRED_FAILED,
			  "the encrypted private key does not contain its public key, and there is "
			  "no "
			  ".pub file beside it");
		return error_hint(err, "convert it with `ssh-keygen -p -f FILE`");
	}
	if (ssh_public_key_parse(line, &file->public_key, err) < 0)
		return error_wrap(err, "reading the .pub file beside it");
	return 0;
}

int ssh_pem_parse(struct span text, struct span public_text, struct ssh_private_file *file,
		  struct error *err)
{
	struct span headers;
	bool pkcs8 = span_starts_with(text, span_of_text("-----BEGIN " LABEL_PKCS8 "-----"));
	int r;

	if (!pkcs8 && !span_starts_with(text, span_of_text("-----BEGIN " LABEL_PKCS1 "-----")))
		return error_set(err, VMCRED_FAILED,
				 "not a private key that age supports (OpenSSH's format, or PEM "
				 "with an RSA or Ed25519 key)");
	r = ssh_pem_decode(text, pkcs8 ? LABEL_PKCS8 : LABEL_PKCS1, &headers, &file->body, err);
	file->body_parse = pkcs1_parse;
	if (r == 0 && pkcs8)
		r = pkcs8_unwrap(file, err);
	else if (r == 0)
		r = encryption_read(headers, &file->encryption, err);
	if (r < 0)
		return r;
	return file->encryption.cipher ? public_text_read(public_text, file, err)
				       : public_key_make(file, err);
}
