/* SPDX-License-Identifier: Apache-2.0 */
#include "age/file_key.h"

#include "age/keys.h"
#include "base/cleanup.h"

static int header_write(const struct age_recipients *recipients, struct span file_key,
			struct secret *header, struct error *err)
{
	_cleanup_free_ char *first = NULL;
	int r = age_header_begin(header, err);

	for (size_t i = 0; r == 0 && i < recipients->count; i++) {
		const struct age_recipient *recipient = recipients->items[i];
		_cleanup_free_ char *labels = NULL;

		if (recipient->ops->is_alone && recipients->count > 1)
			return error_set(err, VMCRED_USAGE,
					 "a passphrase cannot be combined with another recipient");
		if (recipient->ops->wrap_group) {
			r = recipient->ops->wrap_group(recipients, i, file_key, header, &labels,
						       err);
		} else {
			r = recipient->ops->wrap(recipient, file_key, header, err);
			labels = strdup(recipient->ops->labels ? recipient->ops->labels : "");
			if (r == 0 && !labels)
				r = error_no_memory(err);
		}
		if (r == 0 && labels && first && strcmp(labels, first) != 0)
			r = error_set(err, VMCRED_USAGE,
				      "incompatible recipients with the labels \"%s\" and "
				      "\"%s\": a file for both is only as strong as the weaker one",
				      first, labels);
		if (r == 0 && !first)
			first = pointer_release(&labels);
	}
	return r < 0 ? r : age_header_finish(header, file_key, err);
}

int age_file_key_create(const struct age_recipients *recipients, struct secret *file_key,
			struct secret *file, struct error *err)
{
	/* The MAC covers the header from its first byte, and `file` may not be empty. */
	_cleanup_secret_ struct secret header = {0};
	int r;

	if (recipients->count == 0)
		return error_set(err, VMCRED_USAGE, "no recipients");
	r = secret_append_random(file_key, AGE_FILE_KEY_SIZE, err);
	if (r == 0)
		r = header_write(recipients, secret_span(file_key), &header, err);
	if (r == 0)
		r = secret_append(file, secret_span(&header), err);
	return r;
}

/* A passphrase stanza must be alone, so that it authenticates the sender (age.md, "scrypt"). */
static int scrypt_check(const struct age_header *header, struct error *err)
{
	for (size_t i = 0; header->count > 1 && i < header->count; i++) {
		const struct age_stanza *stanza = &header->stanzas[i];

		if (span_equal(age_stanza_argument(stanza, 0), span_of_text("scrypt")))
			return age_stanza_malformed(stanza, "it is not the only stanza", err);
	}
	return 0;
}

static int identity_unwrap(const struct age_identities *identities, size_t index,
			   const struct age_header *header, uint8_t *file_key, struct error *err)
{
	struct age_identity *identity = identities->items[index];
	int r = 0;

	if (identity->ops->unwrap_group)
		return identity->ops->unwrap_group(identities, index, header, file_key, err);
	for (size_t i = 0; r == 0 && i < header->count; i++) {
		const struct age_stanza *stanza = &header->stanzas[i];

		if (span_equal(age_stanza_argument(stanza, 0), span_of_text(identity->stanza_type)))
			r = identity->ops->unwrap(identity, stanza, file_key, err);
	}
	return r;
}

int age_file_key_search(const struct age_header *header, const struct age_identities *identities,
			uint8_t *file_key, struct error *err)
{
	int r = scrypt_check(header, err), unusable = 0;

	for (size_t i = 0; r == 0 && i < identities->count; i++) {
		_cleanup_error_ struct error reason = {0};

		/* Report the first unusable identity, unless a later one opens the file. */
		r = identity_unwrap(identities, i, header, file_key, unusable ? &reason : err);
		if (r == -(int)VMCRED_MISSING) {
			unusable = r;
			r = 0;
		} else if (r < 0 && unusable) {
			error_move(err, &reason);
		}
	}
	if (r > 0)
		error_clear(err);
	return r == 0 ? unusable : r;
}

/* The reason why no identity opens the file. */
static int mismatch_report(const struct age_header *header, const struct age_identities *identities,
			   struct error *err)
{
	const struct span scrypt = span_of_text("scrypt");
	bool are_passphrases = identities->count > 0;

	for (size_t i = 0; i < identities->count; i++) {
		const char *type = identities->items[i]->stanza_type;

		are_passphrases &= type && span_equal(span_of_text(type), scrypt);
	}
	if (are_passphrases) {
		error_set(err, VMCRED_MISSING,
			  "the file is not passphrase-encrypted, identities are required");
	} else if (span_equal(age_stanza_argument(&header->stanzas[0], 0), scrypt)) {
		error_set(err, VMCRED_MISSING,
			  "the file is passphrase-encrypted but identities were specified");
	} else {
		error_set(err, VMCRED_MISSING, "no identity matched any of the recipients");
	}
	return -(int)err->code;
}

int age_file_key_unwrap(const struct age_header *header, const struct age_identities *identities,
			struct secret *file_key, struct error *err)
{
	int r = secret_create(file_key, AGE_FILE_KEY_SIZE, err);

	if (r == 0)
		r = age_file_key_search(header, identities, file_key->data, err);
	if (r < 0)
		return r;
	if (r == 0)
		return mismatch_report(header, identities, err);
	file_key->size = AGE_FILE_KEY_SIZE;
	return age_header_verify(header, secret_span(file_key), err);
}
