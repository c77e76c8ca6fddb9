/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of recipients and identities, and the tables of types, which are told apart by how a
 * key begins.
 */
#include "age/keys.h"

#include <stdlib.h>

#include "age/age.h"
#include "base/secret.h"

/* A row without `parse` is a type that age has and vmcred does not. The first row that fits counts.
 */
static const struct {
	const char *prefix;
	const char *description;
	int (*parse)(struct span text, struct age_recipient **recipient, struct error *err);
} recipient_types[] = {
	{"age1pq1", "a post-quantum key", NULL},
	{"age1tag1", "a tagged hardware key", NULL},
	{"age1tagpq1", "a tagged hardware key", NULL},
	{"age1", "an X25519 key", age_x25519_recipient_parse},
	{"ssh-rsa ", "an SSH RSA key", NULL},
	{"ssh-ed25519 ", "an SSH Ed25519 key", NULL},
};

static const struct {
	const char *prefix;
	const char *description;
	int (*parse)(struct span text, struct age_identity **identity, struct error *err);
} identity_types[] = {
	{"AGE-SECRET-KEY-1", "an X25519 key", age_x25519_identity_parse},
	{"AGE-SECRET-KEY-PQ-1", "a post-quantum key", NULL},
	{"AGE-PLUGIN-", "a key of an age plugin", NULL},
	{"age-encryption.org/", "a key that is encrypted with a passphrase", NULL},
	{"-----BEGIN AGE ENCRYPTED FILE", "a key that is encrypted with a passphrase", NULL},
	{"-----BEGIN ", "an SSH key", NULL},
};

#define RECIPIENT_TYPES (sizeof(recipient_types) / sizeof(recipient_types[0]))
#define IDENTITY_TYPES  (sizeof(identity_types) / sizeof(identity_types[0]))

/* A key of a plugin has another '1' in it, which the characters of a key proper do not include. */
static bool is_plugin_recipient(struct span text)
{
	size_t start = strlen("age1");

	return memchr(text.data + start, '1', text.size - start) != NULL;
}

static int recipient_parse(struct span text, struct age_recipient **recipient, struct error *err)
{
	for (size_t i = 0; i < RECIPIENT_TYPES; i++) {
		const char *description = recipient_types[i].description;
		int r;

		if (!span_starts_with(text, span_of_text(recipient_types[i].prefix)))
			continue;
		if (recipient_types[i].parse && is_plugin_recipient(text))
			description = "a key of an age plugin";
		else if (recipient_types[i].parse) {
			r = recipient_types[i].parse(text, recipient, err);
			if (r < 0 && err->code == VMCRED_FAILED) {
				err->code = VMCRED_USAGE;
				error_wrap(err, "\"%.*s\" is not an age public key", (int)text.size,
					   (const char *)text.data);
			}
			return r < 0 ? -(int)err->code : 0;
		}
		return error_set(err, VMCRED_USAGE,
				 "the recipient \"%.*s\" is %s, and this type is not supported",
				 (int)text.size, (const char *)text.data, description);
	}
	/* Whatever it is, it might be a secret: not shown. */
	if (span_starts_with(text, span_of_text("AGE-")))
		return error_set(err, VMCRED_USAGE,
				 "a secret key was given where a public key (age1…) belongs");
	return error_set(err, VMCRED_USAGE, "a recipient is not an age public key (age1…)");
}

/* Without control characters, whose place is not in an error's text either. */
static bool is_printable(struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	}
	return true;
}

/* Room for one more item. */
static int list_grow(void **items, size_t count, struct error *err)
{
	void *grown = reallocarray(*items, count + 1, sizeof(void *));

	if (!grown)
		return error_no_memory(err);
	*items = grown;
	return 0;
}

int age_recipients_add(struct age_recipients *recipients, struct span text, struct error *err)
{
	int r = list_grow((void **)&recipients->items, recipients->count, err);

	if (r == 0 && !is_printable(text))
		r = error_set(err, VMCRED_USAGE, "a recipient is not an age public key (age1…)");
	if (r == 0)
		r = recipient_parse(text, &recipients->items[recipients->count], err);
	if (r == 0)
		recipients->count++;
	return r;
}

void age_recipients_destroy(struct age_recipients *recipients)
{
	for (size_t i = 0; i < recipients->count; i++)
		recipients->items[i]->ops->destroy(recipients->items[i]);
	free(recipients->items);
	*recipients = (struct age_recipients){0};
}

const char *age_recipient_text(const struct age_recipient *recipient)
{
	return recipient->text;
}

static int identity_parse(struct span text, struct age_identity **identity, struct error *err)
{
	for (size_t i = 0; i < IDENTITY_TYPES; i++) {
		if (!span_starts_with(text, span_of_text(identity_types[i].prefix)))
			continue;
		if (!identity_types[i].parse)
			return error_set(err, VMCRED_FAILED,
					 "it holds %s, and this type is not supported",
					 identity_types[i].description);
		if (identity_types[i].parse(text, identity, err) < 0)
			return error_wrap(err, "the secret key is not valid");
		return 0;
	}
	return error_set(err, VMCRED_FAILED, "it is not an age secret key (AGE-SECRET-KEY-1…)");
}

int age_identities_add(struct age_identities *identities, struct span text, struct error *err)
{
	int r = list_grow((void **)&identities->items, identities->count, err);

	if (r == 0)
		r = identity_parse(text, &identities->items[identities->count], err);
	if (r == 0)
		identities->count++;
	return r;
}

int age_identities_generate(struct age_identities *identities, struct error *err)
{
	int r = list_grow((void **)&identities->items, identities->count, err);

	if (r == 0)
		r = age_x25519_identity_generate(&identities->items[identities->count], err);
	if (r == 0)
		identities->count++;
	return r;
}

void age_identities_destroy(struct age_identities *identities)
{
	for (size_t i = 0; i < identities->count; i++)
		identities->items[i]->ops->destroy(identities->items[i]);
	free(identities->items);
	*identities = (struct age_identities){0};
}

const char *age_identity_recipient(const struct age_identity *identity)
{
	return identity->recipient;
}
