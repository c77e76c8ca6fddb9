/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An SSH RSA key becomes an OpenPGP key of version 4 that was created at the start of 1970, as by
 * ssh-to-pgp, so that its fingerprint is always the same.
 */
#include "openpgp/openpgp.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/array.h"
#include "base/cleanup.h"

#define SHA1_SIZE 20

/* Section 3.2: its length in bits, then the number. */
static int number_append(struct secret *out, struct span number, struct error *err)
{
	size_t bits = number.size * 8;
	uint8_t head[2];
	int r;

	for (uint8_t top = number.data[0]; (top & 0x80) == 0; top = (uint8_t)(top << 1))
		bits--;
	head[0] = (uint8_t)(bits >> 8);
	head[1] = (uint8_t)bits;
	r = secret_append(out, span_of(head, sizeof(head)), err);
	return r < 0 ? r : secret_append(out, number, err);
}

/* Section 12.2: the digest of the public key packet (section 5.5.2) ends with the key's ID. */
static int fingerprint_compute(struct pgp_key *key, struct error *err)
{
	/* 0x99, two octets of length, version 4, creation time 0, RSA */
	uint8_t head[] = {0x99, 0, 0, 4, 0, 0, 0, 0, 1}, digest[SHA1_SIZE];
	_cleanup_secret_ struct secret packet = {0};
	size_t size = sizeof(digest);
	int r = secret_append(&packet, span_of(head, sizeof(head)), err);

	if (r == 0)
		r = number_append(&packet, age_rsa_key_modulus(key->rsa), err);
	if (r == 0)
		r = number_append(&packet, age_rsa_key_exponent(key->rsa), err);
	if (r < 0)
		return r;
	packet.data[1] = (uint8_t)((packet.size - 3) >> 8);
	packet.data[2] = (uint8_t)(packet.size - 3);
	if (EVP_Q_digest(NULL, "SHA1", NULL, packet.data, packet.size, digest, &size) != 1) {
		ERR_clear_error();
		return error_set(err, VMCRED_FAILED, "libcrypto failed to compute a digest");
	}
	memcpy(key->id, digest + SHA1_SIZE - PGP_KEY_ID_SIZE, PGP_KEY_ID_SIZE);
	key->fingerprint = calloc(2 * SHA1_SIZE + 1, 1);
	for (size_t i = 0; key->fingerprint && i < SHA1_SIZE; i++)
		snprintf(key->fingerprint + 2 * i, 3, "%02X", digest[i]);
	return key->fingerprint ? 0 : error_no_memory(err);
}

int pgp_keys_add_ssh(struct pgp_keys *keys, struct span text, const char *what, struct error *err)
{
	struct pgp_key *key;
	int r = array_extend(&keys->items, keys->count, sizeof(*key), err);

	if (r < 0)
		return r;
	key = &keys->items[keys->count];
	*key = (struct pgp_key){0};
	r = age_rsa_key_read(text, what, &key->rsa, err);
	if (r == 0)
		r = fingerprint_compute(key, err);
	if (r < 0) {
		age_rsa_key_destroy(key->rsa);
		return r;
	}
	keys->count++;
	return 0;
}

void pgp_keys_destroy(struct pgp_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		age_rsa_key_destroy(keys->items[i].rsa);
		free(keys->items[i].fingerprint);
	}
	free(keys->items);
	*keys = (struct pgp_keys){0};
}
