/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary store: a JSON document with the one key "data".
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/cipher.h"
#include "sops/document.h"

/* The encrypted value and the encrypted MAC. */
static int value_seal(struct span plaintext, struct span data_key, const char *last_modified,
		      struct secret *value, struct secret *sealed_mac, struct error *err)
{
	_cleanup_sops_cipher_ struct sops_cipher cipher = {0};
	_cleanup_sops_mac_ struct sops_mac mac = {0};
	uint8_t mac_text[SOPS_MAC_TEXT_SIZE];
	int r = sops_cipher_create(&cipher, data_key, SOPS_ENCRYPT, err);

	/* sops encrypts an empty string to an empty string. */
	if (r == 0 && plaintext.size > 0)
		r = sops_cipher_seal(&cipher, plaintext, "str", span_of_text(SOPS_BINARY_KEY ":"),
				     value, err);
	if (r == 0)
		r = sops_mac_create(&mac, false, err);
	if (r == 0)
		r = sops_mac_add(&mac, plaintext, err);
	if (r == 0)
		r = sops_mac_finish(&mac, mac_text, err);
	if (r == 0)
		r = sops_cipher_seal(&cipher, span_of(mac_text, sizeof(mac_text)), "str",
				     span_of_text(last_modified), sealed_mac, err);
	memory_wipe(mac_text, sizeof(mac_text));
	return r;
}

/* The data key for each recipient; the texts go to `encs`, one behind the other. */
static int keys_wrap(struct span data_key, const struct age_recipients *recipients,
		     struct sops_metadata *metadata, struct secret *encs, struct error *err)
{
	_cleanup_free_ size_t *ends = calloc(recipients->count, sizeof(*ends));
	int r = 0;

	metadata->age = calloc(recipients->count, sizeof(*metadata->age));
	if (!metadata->age || !ends)
		return error_no_memory(err);
	for (size_t i = 0; r == 0 && i < recipients->count; i++) {
		r = sops_data_key_wrap(data_key, recipients, i, encs, err);
		ends[i] = encs->size;
	}
	/* Only now do the texts stay where they are. */
	for (size_t i = 0; r == 0 && i < recipients->count; i++) {
		size_t start = i > 0 ? ends[i - 1] : 0;

		metadata->age[i].recipient = span_of_text(age_recipient_text(recipients->items[i]));
		metadata->age[i].enc = span_of(encs->data + start, ends[i] - start);
		metadata->age_count++;
	}
	return r;
}

static int document_write(struct span value, const struct sops_metadata *metadata,
			  struct secret *document, struct error *err)
{
	struct sops_json_writer writer = {.out = document};
	int r = sops_json_open(&writer, (struct span){0}, '{', err);

	if (r == 0)
		r = sops_json_string(&writer, span_of_text(SOPS_BINARY_KEY), value, err);
	if (r == 0)
		r = sops_metadata_write(metadata, &writer, err);
	if (r == 0)
		r = sops_json_close(&writer, '}', err);
	return r;
}

static void cleanup_metadata(struct sops_metadata *metadata)
{
	sops_metadata_destroy(metadata);
}

int sops_binary_encrypt(struct span plaintext, const struct age_recipients *recipients,
			struct secret *document, struct error *err)
{
	__attribute__((cleanup(cleanup_metadata))) struct sops_metadata metadata = {0};
	_cleanup_secret_ struct secret data_key = {0}, value = {0}, mac = {0}, encs = {0};
	int r;

	if (recipients->count == 0)
		return error_set(err, VMCRED_USAGE, "there is no recipient to encrypt to");
	r = secret_append_random(&data_key, SOPS_DATA_KEY_SIZE, err);
	if (r == 0)
		r = sops_timestamp_now(metadata.last_modified, err);
	if (r == 0)
		r = value_seal(plaintext, secret_span(&data_key), metadata.last_modified, &value,
			       &mac, err);
	if (r == 0)
		r = keys_wrap(secret_span(&data_key), recipients, &metadata, &encs, err);
	metadata.mac = secret_span(&mac);
	if (r == 0)
		r = document_write(secret_span(&value), &metadata, document, err);
	return r;
}

int sops_binary_decrypt(struct span document, const char *what,
			const struct age_identities *identities, struct secret *plaintext,
			struct error *err)
{
	_cleanup_sops_document_ struct sops_document *parsed = NULL;
	struct span value = {0};
	int r = sops_document_parse(document, what, &parsed, err);

	if (r == 0)
		r = sops_document_decrypt(parsed, identities, err);
	if (r == 0)
		r = sops_document_value(parsed, SOPS_BINARY_KEY, &value, err);
	return r < 0 ? r : secret_append(plaintext, value, err);
}
