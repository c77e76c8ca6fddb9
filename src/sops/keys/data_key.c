/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data key, which each key of a document holds in wrapped form. A key names its recipient, so
 * the keys for our identities are tried first. The names are not authenticated, so all other keys
 * are tried after them.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/keys/key.h"
#include "sops/keys/shamir.h"

struct search {
	const struct sops_policy *policy;
	const struct sops_keyring *keyring;
	const char *what;
	struct error *failure; /* the first one, unless a key is merely somebody else's */
};

static int age_unwrap(const struct sops_key *key, const struct age_identities *identities,
		      struct secret *part, struct error *err)
{
	_cleanup_secret_ struct secret file = {0};
	struct span enc = span_of_text(sops_key_enc(key));
	int r;

	if (enc.size == 0)
		return error_set(err, VMCRED_FAILED, "the field enc is empty");
	r = age_armor_decode(enc, &file, err);
	return r < 0 ? r : age_decrypt(secret_span(&file), identities, part, err);
}

/* The data key, or a share, which has one byte more. */
static int part_check(const struct search *search, struct secret *part, struct error *err)
{
	size_t size = SOPS_DATA_KEY_SIZE + (search->policy->group_count > 1);

	if (part->size == size)
		return 0;
	error_set(err, VMCRED_FAILED, "the data key has %zu bytes instead of %zu", part->size,
		  size);
	secret_destroy(part);
	return -(int)err->code;
}

/* The identity that the key names. A comment may follow the name. */
static bool identity_find(const struct sops_key *key, const struct age_identities *identities,
			  size_t *index)
{
	for (*index = 0; *index < identities->count; (*index)++) {
		const char *recipient = age_identity_recipient(identities->items[*index]);
		size_t size = strlen(recipient);

		if (strncmp(key->text, recipient, size) == 0 &&
		    (key->text[size] == '\0' || key->text[size] == ' '))
			return true;
	}
	return false;
}

/* Stores the first failure. Returns 0: the search continues. */
static int failure_keep(const struct search *search, const struct sops_key *key, struct error *err)
{
	if (!search->failure->text) {
		*search->failure = *err;
		*err = (struct error){0};
		error_wrap(search->failure, "%s: sops.%s: the key for %s", search->what,
			   sops_key_type_name(key->type), key->text);
	}
	error_clear(err);
	return 0;
}

/* Returns 1 if the key gave the part. `named`: try the keys that name one of the identities, else
 * the others. */
static int age_try(const struct search *search, const struct sops_key *key, bool named,
		   struct secret *part)
{
	const struct age_identities *identities = search->keyring->identities;
	_cleanup_error_ struct error err = {0};
	struct age_identities tried;
	size_t index;

	if (!identities || identities->count == 0 ||
	    identity_find(key, identities, &index) != named)
		return 0;
	tried = *identities;
	if (named) {
		tried.items = &identities->items[index];
		tried.count = 1;
	}
	if (age_unwrap(key, &tried, part, &err) == 0 && part_check(search, part, &err) == 0)
		return 1;
	return err.code == VMCRED_MISSING && !named ? 0 : failure_keep(search, key, &err);
}

static int pgp_try(const struct search *search, const struct sops_key *key, struct secret *part)
{
	_cleanup_error_ struct error err = {0};
	int r = 0;

	if (search->keyring->pgp_keys && search->keyring->pgp_keys->count > 0)
		r = pgp_message_decrypt(search->keyring->pgp_keys, span_of_text(sops_key_enc(key)),
					part, &err);
	if (r > 0 && part_check(search, part, &err) == 0)
		return 1;
	if (r != 0)
		return failure_keep(search, key, &err);
	if (!search->keyring->gpg)
		return 0;
	if (sops_gpg_decrypt(search->keyring->gpg, span_of_text(sops_key_enc(key)), part, &err) ==
		    0 &&
	    part_check(search, part, &err) == 0)
		return 1;
	secret_destroy(part);
	return failure_keep(search, key, &err);
}

static int keys_try(const struct search *search, const struct sops_key_group *group,
		    enum sops_key_type type, struct secret *part)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < group->count; i++) {
			const struct sops_key *key = &group->keys[i];

			if (key->type != type)
				continue;
			if (type == SOPS_KEY_AGE && age_try(search, key, pass == 0, part))
				return 1;
			if (type == SOPS_KEY_PGP && pass == 0 && pgp_try(search, key, part))
				return 1;
		}
	}
	return 0;
}

/* Tries the types in the keyring's order, then the others. Returns 1 or 0. */
static int group_open(const struct search *search, const struct sops_key_group *group,
		      struct secret *part)
{
	static const enum sops_key_type usual[] = {SOPS_KEY_AGE, SOPS_KEY_PGP};
	const enum sops_key_type *order = search->keyring->order;
	size_t count = search->keyring->order_count;
	bool tried[SOPS_KEY_TYPES] = {false};

	if (!order) {
		order = usual;
		count = sizeof(usual) / sizeof(usual[0]);
	}
	for (size_t i = 0; i < count + SOPS_KEY_TYPES; i++) {
		enum sops_key_type type = i < count ? order[i] : (enum sops_key_type)(i - count);

		if (tried[type])
			continue;
		tried[type] = true;
		if (keys_try(search, group, type, part))
			return 1;
	}
	return 0;
}

static void shares_destroy(struct secret **shares)
{
	for (size_t i = 0; *shares && i < SHAMIR_SHARES_MAX; i++)
		secret_destroy(&(*shares)[i]);
	free(*shares);
}

/* Any groups will do, as many as the threshold. */
static int shares_combine(const struct search *search, struct secret *data_key, struct error *err)
{
	__attribute__((cleanup(shares_destroy))) struct secret *shares =
		calloc(SHAMIR_SHARES_MAX, sizeof(*shares));
	const struct sops_policy *policy = search->policy;
	size_t needed = policy->shamir_threshold ? policy->shamir_threshold : policy->group_count;
	size_t count = 0;
	int r;

	if (!shares)
		return error_no_memory(err);
	/* A line needs two points. */
	if (needed < 2)
		needed = 2;
	for (size_t i = 0; i < policy->group_count && count < needed; i++)
		count += (size_t)group_open(search, &policy->groups[i], &shares[count]);
	if (count < needed)
		return search->failure->text
			       ? -(int)search->failure->code
			       : sops_no_key(policy, search->keyring, search->what, count, err);
	r = shamir_combine(shares, count, data_key, err);
	return r < 0 ? error_wrap(err, "%s", search->what) : 0;
}

int sops_data_key_unwrap(const struct sops_policy *policy, const struct sops_keyring *keyring,
			 const char *what, struct secret *data_key, struct error *err)
{
	_cleanup_error_ struct error failure = {0};
	const struct search search = {
		.policy = policy,
		.keyring = keyring,
		.what = what,
		.failure = &failure,
	};
	int r = 0;

	if (policy->group_count > SHAMIR_SHARES_MAX)
		return error_set(err, VMCRED_FAILED, "%s has more than %d key groups", what,
				 SHAMIR_SHARES_MAX);
	if (policy->group_count > 1)
		r = shares_combine(&search, data_key, err);
	else if (!group_open(&search, &policy->groups[0], data_key))
		r = failure.text ? -(int)failure.code : sops_no_key(policy, keyring, what, 0, err);
	if (r < 0 && !err->text) {
		*err = failure;
		failure = (struct error){0};
	}
	return r;
}

static int age_wrap(const char *recipient, const struct sops_keyring *keyring, struct span part,
		    struct secret *enc, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients added = {.prompt = keyring->prompt};
	const struct age_recipients *parsed = keyring->recipients;
	struct age_recipients one = {.prompt = keyring->prompt}; /* borrowed */
	_cleanup_secret_ struct secret file = {0};
	int r = 0;

	for (size_t i = 0; parsed && one.count == 0 && i < parsed->count; i++) {
		if (strcmp(age_recipient_text(parsed->items[i]), recipient) == 0) {
			one.items = &parsed->items[i];
			one.count = 1;
		}
	}
	if (one.count == 0)
		r = age_recipients_add(&added, span_of_text(recipient), err);
	if (r == 0)
		r = age_encrypt(part, one.count > 0 ? &one : &added, &file, err);
	return r < 0 ? r : age_armor_encode(secret_span(&file), enc, err);
}

static int key_wrap(struct sops_key *key, const struct sops_keyring *keyring, struct span part,
		    bool keep_unsupported, struct error *err)
{
	_cleanup_secret_ struct secret enc = {0};
	char *text;
	int r;

	if (key->type == SOPS_KEY_AGE)
		r = age_wrap(key->text, keyring, part, &enc, err);
	else if (key->type == SOPS_KEY_PGP && keyring->gpg)
		r = sops_gpg_encrypt(keyring->gpg, key->text, part, &enc, err);
	else if (key->type == SOPS_KEY_PGP)
		r = error_set(err, VMCRED_MISSING,
			      "the PGP key %s requires gpg, which is not used here", key->text);
	else if (keep_unsupported && *sops_key_enc(key))
		return 0;
	else {
		error_set(err, VMCRED_USAGE, "unsupported key type %s (%s)",
			  sops_key_type_name(key->type), key->text);
		r = error_hint(err, "use age or PGP keys, or sops itself");
	}
	if (r < 0)
		return r;
	text = strndup(enc.data ? (const char *)enc.data : "", enc.size);
	if (!text)
		return error_no_memory(err);
	sops_key_enc_set(key, text);
	return 0;
}

static int group_wrap(struct sops_key_group *group, const struct sops_keyring *keyring,
		      struct span part, bool keep_unsupported, struct error *err)
{
	int r = 0;

	if (group->count == 0)
		return error_set(err, VMCRED_USAGE, "no keys to encrypt to, or an empty key group");
	for (size_t i = 0; r == 0 && i < group->count; i++)
		r = key_wrap(&group->keys[i], keyring, part, keep_unsupported, err);
	return r;
}

static int shares_wrap(struct sops_policy *policy, const struct sops_keyring *keyring,
		       struct span data_key, struct error *err)
{
	__attribute__((cleanup(shares_destroy))) struct secret *shares =
		calloc(SHAMIR_SHARES_MAX, sizeof(*shares));
	int r;

	if (!shares)
		return error_no_memory(err);
	if (policy->shamir_threshold == 0)
		policy->shamir_threshold = (unsigned int)policy->group_count;
	r = shamir_split(data_key, shares, policy->group_count, policy->shamir_threshold, err);
	for (size_t i = 0; r == 0 && i < policy->group_count; i++)
		r = group_wrap(&policy->groups[i], keyring, secret_span(&shares[i]), false, err);
	return r;
}

int sops_data_key_wrap(struct sops_policy *policy, const struct sops_keyring *keyring,
		       const char *what, struct span data_key, bool keep_unsupported,
		       struct error *err)
{
	int r;

	if (policy->group_count == 0)
		r = error_set(err, VMCRED_USAGE, "no keys to encrypt to");
	else if (policy->group_count == 1)
		r = group_wrap(&policy->groups[0], keyring, data_key, keep_unsupported, err);
	else
		r = shares_wrap(policy, keyring, data_key, err);
	return r < 0 ? error_wrap(err, "%s", what) : 0;
}
