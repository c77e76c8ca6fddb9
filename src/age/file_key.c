/* SPDX-License-Identifier: Apache-2.0 */
#include "age/file_key.h"

#include <stdlib.h>

#include "age/keys.h"
#include "base/cleanup.h"

static bool same_group(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* Wraps for the recipient `index`; with those of its group, if it is the first one. */
static int recipient_wrap(const struct age_recipients *recipients, size_t index,
			  struct span file_key, struct secret *header, char **labels,
			  struct error *err)
{
	struct age_recipient *const *items = recipients->items;
	_cleanup_free_ const struct age_recipient **group = NULL;
	size_t count = 0;
	int r;

	if (!items[index]->group) {
		*labels = strdup(items[index]->ops->labels ? items[index]->ops->labels : "");
		if (!*labels)
			return error_no_memory(err);
		return items[index]->ops->wrap(items[index], file_key, header, err);
	}
	group = calloc(recipients->count, sizeof(struct age_recipient *));
	if (!group)
		return error_no_memory(err);
	for (size_t i = 0; i < recipients->count; i++) {
		if (same_group(items[i]->group, items[index]->group))
			group[count++] = items[i];
	}
	if (group[0] != items[index])
		return 0;
	r = items[index]->ops->wrap_group(group, count, file_key, header, labels, err);
	if (r < 0)
		return error_wrap(err, "encrypting with the age plugin %s", items[index]->group);
	return 0;
}

static int alone_check(const struct age_recipients *recipients, struct error *err)
{
	for (size_t i = 0; recipients->count > 1 && i < recipients->count; i++) {
		if (recipients->items[i]->ops->is_alone)
			return error_set(err, VMCRED_USAGE,
					 "a passphrase cannot be combined with another recipient");
	}
	return 0;
}

static int header_write(const struct age_recipients *recipients, struct span file_key,
			struct secret *header, struct error *err)
{
	_cleanup_free_ char *first = NULL;
	int r = age_header_begin(header, err);

	for (size_t i = 0; r == 0 && i < recipients->count; i++) {
		_cleanup_free_ char *labels = NULL;

		r = recipient_wrap(recipients, i, file_key, header, &labels, err);
		if (r == 0 && labels && first && strcmp(labels, first) != 0)
			r = error_set(err, VMCRED_USAGE,
				      "the recipients do not go together: one has the labels "
				      "\"%s\", another \"%s\"; a file for both is as weak as the "
				      "weaker one",
				      first, labels);
		if (r == 0 && !first)
			first = pointer_release(&labels);
	}
	if (r == 0)
		r = age_header_finish(header, file_key, err);
	return r;
}

int age_file_key_create(const struct age_recipients *recipients, struct secret *file_key,
			struct secret *file, struct error *err)
{
	/* The MAC covers the header from its first byte, and `file` may hold something already. */
	_cleanup_secret_ struct secret header = {0};
	int r;

	if (recipients->count == 0)
		return error_set(err, VMCRED_USAGE, "there is no recipient to encrypt to");
	r = alone_check(recipients, err);
	if (r == 0)
		r = secret_append_random(file_key, AGE_FILE_KEY_SIZE, err);
	if (r == 0)
		r = header_write(recipients, secret_span(file_key), &header, err);
	if (r == 0)
		r = secret_append(file, secret_span(&header), err);
	return r;
}

/* A passphrase stanza stands alone, so that a file authenticates its sender (age.md, "scrypt"). */
static int scrypt_check(const struct age_header *header, struct error *err)
{
	for (size_t i = 0; i < header->count; i++) {
		struct span type = age_stanza_word(&header->stanzas[i], 0);

		if (header->count > 1 && span_equal(type, span_of_text("scrypt")))
			return error_set(
				err, VMCRED_FAILED,
				"the age header is malformed: a passphrase stanza is not alone");
	}
	return 0;
}

/* Tries the identity `index`; with those of its group, if it is the first one. */
static int identity_unwrap(const struct age_identities *identities, size_t index,
			   const struct age_header *header, uint8_t *file_key, struct error *err)
{
	struct age_identity *const *items = identities->items;
	_cleanup_free_ struct age_identity **group = NULL;
	size_t count = 0;

	if (!items[index]->group)
		return items[index]->ops->unwrap(items[index], header, file_key, err);
	group = calloc(identities->count, sizeof(struct age_identity *));
	if (!group)
		return error_no_memory(err);
	for (size_t i = 0; i < identities->count; i++) {
		if (same_group(items[i]->group, items[index]->group))
			group[count++] = items[i];
	}
	if (group[0] != items[index])
		return 0;
	return items[index]->ops->unwrap_group(group, count, header, file_key, err);
}

int age_file_key_search(const struct age_header *header, const struct age_identities *identities,
			uint8_t *file_key, struct error *err)
{
	int r = scrypt_check(header, err), unusable = 0;

	for (size_t i = 0; r == 0 && i < identities->count; i++) {
		_cleanup_error_ struct error reason = {0};

		/* Of the identities that could not be used, the first one is reported. */
		r = identity_unwrap(identities, i, header, file_key, unusable ? &reason : err);
		if (r == -(int)VMCRED_MISSING) {
			unusable = r;
			r = 0;
		} else if (r < 0 && unusable) {
			error_clear(err);
			*err = reason;
			reason = (struct error){0};
		}
	}
	if (r > 0)
		error_clear(err);
	return r == 0 ? unusable : r;
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
		return error_set(err, VMCRED_MISSING, "no identity opens the age file");
	file_key->size = AGE_FILE_KEY_SIZE;
	return age_header_verify(header, secret_span(file_key), err);
}
