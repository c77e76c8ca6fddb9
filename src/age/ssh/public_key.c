/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include <openssl/evp.h>

#include "age/keys.h"
#include "age/primitives.h"
#include "age/ssh/key.h"
#include "age/ssh/wire.h"
#include "base/base64.h"
#include "base/cleanup.h"

/* age's minimum and libcrypto's maximum */
#define RSA_BYTES_MIN (2048 / 8)
#define RSA_BYTES_MAX (16384 / 8)

/* libcrypto's limit for large moduli (OPENSSL_RSA_MAX_PUBEXP_BITS). */
#define RSA_EXPONENT_BYTES_MAX 8

/* sshd's limit for a line. */
#define LINE_SIZE_MAX 8192

static const char *const type_names[] = {
	[SSH_ED25519] = "ssh-ed25519",
	[SSH_RSA] = "ssh-rsa",
};

#define TYPES (sizeof(type_names) / sizeof(type_names[0]))

const char *ssh_key_type_name(enum ssh_key_type type)
{
	return type_names[type];
}

static int malformed(struct error *err)
{
	return error_set(err, VMCRED_FAILED, "the SSH public key is damaged");
}

static int numbers_read(struct span wire, struct ssh_public_key *key, struct error *err)
{
	if (!ssh_wire_number(&wire, &key->exponent) || !ssh_wire_number(&wire, &key->modulus) ||
	    wire.size > 0)
		return malformed(err);
	if (key->modulus.size < RSA_BYTES_MIN)
		return error_set(err, VMCRED_FAILED,
				 "the SSH RSA key is too weak: it has less than %d bits",
				 RSA_BYTES_MIN * 8);
	if (key->modulus.size > RSA_BYTES_MAX || key->exponent.size > RSA_EXPONENT_BYTES_MAX)
		return error_set(err, VMCRED_FAILED, "the SSH RSA key has more than %d bits",
				 RSA_BYTES_MAX * 8);
	return 0;
}

static int point_read(struct span wire, struct ssh_public_key *key, struct error *err)
{
	if (!ssh_wire_string(&wire, &key->point) || key->point.size != SSH_ED25519_KEY_SIZE ||
	    wire.size > 0)
		return malformed(err);
	return 0;
}

/* The first four bytes of the key's digest (age's agessh). */
static int tag_compute(struct ssh_public_key *key, struct error *err)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t size = 0;

	if (EVP_Q_digest(NULL, "SHA256", NULL, key->wire, key->wire_size, digest, &size) != 1)
		return age_crypto_failed(err, "compute a digest");
	base64_encode(span_of(digest, 4), BASE64_UNPADDED, key->tag);
	return 0;
}

int ssh_public_key_read(struct span wire, struct ssh_public_key *key, struct error *err)
{
	struct span rest, type;
	int r = -1;

	key->wire = malloc(wire.size + 1);
	if (!key->wire)
		return error_no_memory(err);
	if (wire.size > 0)
		memcpy(key->wire, wire.data, wire.size);
	key->wire_size = wire.size;
	rest = span_of(key->wire, wire.size);
	if (!ssh_wire_string(&rest, &type))
		return malformed(err);
	for (size_t i = 0; r < 0 && i < TYPES; i++) {
		if (!span_equal(type, span_of_text(type_names[i])))
			continue;
		key->type = (enum ssh_key_type)i;
		r = i == SSH_RSA ? numbers_read(rest, key, err) : point_read(rest, key, err);
		return r < 0 ? r : tag_compute(key, err);
	}
	return error_set(err, VMCRED_FAILED,
			 "unsupported SSH key type: age supports only Ed25519 and RSA keys");
}

/* Removes a field and the blanks after it from the line. */
static struct span field_take(struct span *line)
{
	struct span field = *line;

	for (field.size = 0; field.size < line->size; field.size++) {
		if (line->data[field.size] == ' ' || line->data[field.size] == '\t')
			break;
	}
	*line = span_of(line->data + field.size, line->size - field.size);
	while (line->size > 0 && (line->data[0] == ' ' || line->data[0] == '\t'))
		*line = span_skip(*line, 1);
	return field;
}

/* The caller frees `*wire`. */
static int line_decode(struct span line, struct span *type, uint8_t **wire, size_t *size,
		       struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	struct span text;

	if (line.size > LINE_SIZE_MAX)
		return malformed(err);
	*type = field_take(&line);
	text = field_take(&line);
	*wire = malloc(text.size / 4 * 3 + 2);
	if (!*wire)
		return error_no_memory(err);
	return base64_decode(text, BASE64_PADDED, *wire, size, &reason) < 0 ? malformed(err) : 0;
}

bool age_ssh_is_public_key(struct span line, struct span *type)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_free_ uint8_t *wire = NULL;
	struct span rest, named;
	size_t size = 0;

	if (line_decode(line, type, &wire, &size, &reason) < 0)
		return false;
	rest = span_of(wire, size);
	return ssh_wire_string(&rest, &named) && span_equal(named, *type);
}

int ssh_public_key_parse(struct span line, struct ssh_public_key *key, struct error *err)
{
	_cleanup_free_ uint8_t *wire = NULL;
	struct span type;
	size_t size = 0;
	int r = line_decode(line, &type, &wire, &size, err);

	if (r < 0)
		return r;
	r = ssh_public_key_read(span_of(wire, size), key, err);
	if (r == 0 && !span_equal(type, span_of_text(type_names[key->type])))
		return malformed(err);
	return r;
}

char *ssh_public_key_format(const struct ssh_public_key *key)
{
	const char *name = type_names[key->type];
	size_t start = strlen(name) + 1;
	size_t size = base64_encoded_size(key->wire_size, BASE64_PADDED);
	char *text = malloc(start + size + 1);

	if (!text)
		return NULL;
	memcpy(text, name, start - 1);
	text[start - 1] = ' ';
	base64_encode(span_of(key->wire, key->wire_size), BASE64_PADDED, text + start);
	text[start + size] = '\0';
	return text;
}

void ssh_public_key_destroy(struct ssh_public_key *key)
{
	free(key->wire);
	*key = (struct ssh_public_key){0};
}
