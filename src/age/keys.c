/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of recipients and identities, and the tables of types, which are told apart by how a
 * key begins.
 */
#include "age/keys.h"

#include <stdlib.h>

#include "age/age.h"
#include "base/secret.h"

/* The first row that fits counts. */
static const struct {
	const char *prefix;
	int (*parse)(struct span text, struct age_recipient **recipient, struct error *err);
} recipient_types[] = {
	{"age1pq1", age_hybrid_recipient_parse},
	{"age1", age_x25519_recipient_parse},
	{"ssh-", age_ssh_recipient_parse},
};

static const struct {
	const char *prefix;
	int (*parse)(struct span text, struct age_identity **identity, struct error *err);
} identity_types[] = {
	{"AGE-SECRET-KEY-1", age_x25519_identity_parse},
	{"AGE-SECRET-KEY-PQ-1", age_hybrid_identity_parse},
	{"AGE-PLUGIN-", age_plugin_identity_parse},
};

#define RECIPIENT_TYPES (sizeof(recipient_types) / sizeof(recipient_types[0]))
#define IDENTITY_TYPES  (sizeof(identity_types) / sizeof(identity_types[0]))

/* Whether a plugin's name stands between two '1': the characters of a key proper include none. */
static bool is_plugin_recipient(struct span text)
{
	size_t start = strlen("age1");

	return span_starts_with(text, span_of_text("age1")) &&
	       memchr(text.data + start, '1', text.size - start) != NULL;
}

static int recipient_type_parse(struct span text, struct age_recipient **recipient,
				struct error *err)
{
	for (size_t i = 0; i < RECIPIENT_TYPES; i++) {
		if (!span_starts_with(text, span_of_text(recipient_types[i].prefix)))
			continue;
		if (i > 0 && is_plugin_recipient(text))
			return age_plugin_recipient_parse(text, recipient, err);
		return recipient_types[i].parse(text, recipient, err);
	}
	return error_set(err, VMCRED_FAILED, "it begins with neither age1 nor ssh-");
}

static int recipient_parse(struct span text, struct age_recipient **recipient, struct error *err)
{
	int r;

	/* Whatever it is, it might be a secret: not shown. */
	if (span_starts_with(text, span_of_text("AGE-")))
		return error_set(err, VMCRED_USAGE,
				 "a secret key was given where a public key (age1…) belongs");
	if (!span_starts_with(text, span_of_text("age1")) &&
	    !span_starts_with(text, span_of_text("ssh-")))
		return error_set(err, VMCRED_USAGE, "a recipient is not an age public key (age1…)");
	r = recipient_type_parse(text, recipient, err);
	if (r == -(int)VMCRED_FAILED) {
		err->code = VMCRED_USAGE;
		return error_wrap(err, "\"%.*s\" is not an age public key", (int)text.size,
				  (const char *)text.data);
	}
	return r;
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
		recipients->items[recipients->count++]->prompt = recipients->prompt;
	return r;
}

int age_recipients_add_passphrase(struct age_recipients *recipients, struct span passphrase,
				  unsigned int work_factor, struct error *err)
{
	int r = list_grow((void **)&recipients->items, recipients->count, err);

	if (r == 0)
		r = age_scrypt_recipient_create(passphrase, work_factor,
						&recipients->items[recipients->count], err);
	if (r == 0)
		recipients->items[recipients->count++]->prompt = recipients->prompt;
	return r;
}

void age_recipient_free(struct age_recipient *recipient)
{
	free(recipient->text);
	free(recipient->group);
	free(recipient);
}

void age_identity_free(struct age_identity *identity)
{
	free(identity->recipient);
	free(identity->group);
	free(identity);
}

void age_recipients_destroy(struct age_recipients *recipients)
{
	for (size_t i = 0; i < recipients->count; i++)
		recipients->items[i]->ops->destroy(recipients->items[i]);
	free(recipients->items);
	*recipients = (struct age_recipients){.prompt = recipients->prompt};
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
		if (identity_types[i].parse(text, identity, err) < 0)
			return error_wrap(err, "the secret key is not valid");
		return 0;
	}
	if (span_starts_with(text, span_of_text("age1")))
		return error_set(err, VMCRED_FAILED,
				 "it is a public key, where a secret key belongs");
	return error_set(err, VMCRED_FAILED, "it is not an age secret key (AGE-SECRET-KEY-1…)");
}

int age_identities_take(struct age_identities *identities, struct age_identity *identity,
			struct error *err)
{
	int r = list_grow((void **)&identities->items, identities->count, err);

	if (r < 0) {
		identity->ops->destroy(identity);
		return r;
	}
	identity->prompt = identities->prompt;
	identities->items[identities->count++] = identity;
	return 0;
}

int age_identities_add(struct age_identities *identities, struct span text, struct error *err)
{
	struct age_identity *identity = NULL;
	int r = identity_parse(text, &identity, err);

	return identity ? age_identities_take(identities, identity, err) : r;
}

int age_identities_add_passphrase(struct age_identities *identities, struct span passphrase,
				  struct error *err)
{
	struct age_identity *identity = NULL;
	int r = age_scrypt_identity_create(passphrase, "the file", &identity, err);

	return identity ? age_identities_take(identities, identity, err) : r;
}

int age_identities_generate(struct age_identities *identities, struct error *err)
{
	struct age_identity *identity = NULL;
	int r = age_x25519_identity_generate(&identity, err);

	return identity ? age_identities_take(identities, identity, err) : r;
}

void age_identities_destroy(struct age_identities *identities)
{
	for (size_t i = 0; i < identities->count; i++)
		identities->items[i]->ops->destroy(identities->items[i]);
	free(identities->items);
	*identities = (struct age_identities){.prompt = identities->prompt};
}

bool age_identity_is_plugin(const struct age_identity *identity)
{
	return identity->group != NULL;
}

const char *age_identity_recipient(const struct age_identity *identity)
{
	return identity->recipient;
}
