/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data key, which each of a document's keys holds wrapped. The document names the recipient of
 * each, so the one that belongs to an identity is tried first; the names are not authenticated, so
 * all others are tried after it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/cipher.h"
#include "sops/document.h"

static int key_unwrap(const struct sops_age_key *key, const struct age_identities *identities,
		      struct secret *data_key, struct error *err)
{
	_cleanup_secret_ struct secret file = {0};
	int r;

	if (key->enc.size == 0)
		r = error_set(err, VMCRED_FAILED, "its field enc is empty");
	else
		r = age_armor_decode(key->enc, &file, err);
	if (r == 0)
		r = age_decrypt(secret_span(&file), identities, data_key, err);
	if (r == 0 && data_key->size != SOPS_DATA_KEY_SIZE) {
		error_set(err, VMCRED_FAILED, "the data key is %zu bytes long, not %d",
			  data_key->size, SOPS_DATA_KEY_SIZE);
		secret_destroy(data_key);
		r = -(int)err->code;
	}
	return r;
}

/* The identity that the key is for, according to its name. */
static bool identity_find(const struct sops_age_key *key, const struct age_identities *identities,
			  size_t *index)
{
	for (*index = 0; *index < identities->count; (*index)++) {
		const char *recipient = age_identity_recipient(identities->items[*index]);

		if (span_equal(key->recipient, span_of_text(recipient)))
			return true;
	}
	return false;
}

/* ", " between the items; NULL without memory. Takes the list over. */
static char *list_extend(char *list, struct span item)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s%s%.*s", list ? list : "", list && *list ? ", " : "",
		     (int)item.size, (const char *)item.data) < 0)
		longer = NULL;
	free(list);
	return longer;
}

static int no_identity(const struct sops_document *document,
		       const struct age_identities *identities, struct error *err)
{
	_cleanup_free_ char *recipients = strdup(""), *tried = strdup("");
	char unsupported[64];

	for (size_t i = 0; recipients && i < document->metadata.age_count; i++)
		recipients = list_extend(recipients, document->metadata.age[i].recipient);
	for (size_t i = 0; tried && i < identities->count; i++)
		tried = list_extend(tried,
				    span_of_text(age_identity_recipient(identities->items[i])));
	if (!recipients || !tried)
		return error_no_memory(err);
	sops_metadata_unsupported(&document->metadata, unsupported, sizeof(unsupported));
	error_set(err, VMCRED_MISSING,
		  "%s: no identity opens it: it is encrypted for %s%s%s%s%s; tried: %s",
		  document->name, *recipients ? recipients : "no age recipient",
		  *unsupported ? " and for keys of type " : "", unsupported,
		  *unsupported ? ", which is not supported" : "", "", *tried ? tried : "none");
	return error_hint(err,
			  "use an identity of a recipient, or make the identity's public key a "
			  "recipient and encrypt it again");
}

/*
 * Tries the keys that are, or are not, for one of the identities by their names. Returns 1 if one
 * of them gave the data key, else 0; `failure` keeps the first failure that is not just a key of
 * somebody else.
 */
static int keys_try(const struct sops_document *document, const struct age_identities *identities,
		    bool named, struct secret *data_key, struct error *failure)
{
	const struct sops_metadata *metadata = &document->metadata;

	for (size_t i = 0; i < metadata->age_count; i++) {
		const struct sops_age_key *key = &metadata->age[i];
		_cleanup_error_ struct error further = {0};
		struct error *err = failure->text ? &further : failure;
		struct age_identities tried = *identities;
		size_t index;

		if (identity_find(key, identities, &index) != named)
			continue;
		if (named)
			tried = (struct age_identities){.items = &identities->items[index],
							.count = 1};
		if (key_unwrap(key, &tried, data_key, err) == 0)
			return 1;
		if (err->code == VMCRED_MISSING && !named)
			error_clear(err);
		else
			error_wrap(err, "%s: the key for %.*s in its field sops.age",
				   document->name, (int)key->recipient.size,
				   (const char *)key->recipient.data);
	}
	return 0;
}

int sops_data_key_unwrap(const struct sops_document *document,
			 const struct age_identities *identities, struct secret *data_key,
			 struct error *err)
{
	if (keys_try(document, identities, true, data_key, err) ||
	    keys_try(document, identities, false, data_key, err)) {
		error_clear(err);
		return 0;
	}
	if (err->text)
		return -(int)err->code;
	return no_identity(document, identities, err);
}

int sops_data_key_wrap(struct span data_key, const struct age_recipients *recipients, size_t index,
		       struct secret *enc, struct error *err)
{
	const struct age_recipients one = {.items = &recipients->items[index], .count = 1};
	_cleanup_secret_ struct secret file = {0};
	int r = age_encrypt(data_key, &one, &file, err);

	if (r == 0)
		r = age_armor_encode(secret_span(&file), enc, err);
	return r;
}
