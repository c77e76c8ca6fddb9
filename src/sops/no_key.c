/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error for a document that no key opens: for whom it is, and what was tried, so that its
 * reader sees what is missing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sops/document.h"
#include "sops/key.h"

/* "age1…, pgp 85D7…, kms arn:… (not supported)" */
static void keys_list(const struct sops_key_group *group, FILE *to)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct sops_key *key = &group->keys[i];

		if (i > 0)
			fputs(", ", to);
		if (key->type != SOPS_KEY_AGE)
			fprintf(to, "%s ", sops_key_type_name(key->type));
		fputs(key->text, to);
		if (!sops_key_type_is_supported(key->type))
			fputs(" (not supported)", to);
	}
	if (group->count == 0)
		fputs("nobody", to);
}

static void groups_list(const struct sops_policy *policy, size_t opened, FILE *to)
{
	if (policy->group_count == 1) {
		fputs("no identity opens it: it is encrypted for ", to);
		keys_list(&policy->groups[0], to);
		return;
	}
	fprintf(to, "%zu of its %zu key groups must be opened, but %zu could be: it is encrypted ",
		policy->shamir_threshold ? (size_t)policy->shamir_threshold : policy->group_count,
		policy->group_count, opened);
	for (size_t i = 0; i < policy->group_count; i++) {
		fprintf(to, "%sfor group %zu: ", i > 0 ? "; " : "", i + 1);
		keys_list(&policy->groups[i], to);
	}
}

static void tried_list(const struct sops_keyring *keyring, FILE *to)
{
	const struct age_identities *identities = keyring->identities;
	const struct pgp_keys *pgp_keys = keyring->pgp_keys;
	size_t count = identities ? identities->count : 0;
	size_t pgp_count = pgp_keys ? pgp_keys->count : 0;

	fputs("; tried: ", to);
	for (size_t i = 0; i < count; i++)
		fprintf(to, "%s%s", i > 0 ? ", " : "",
			age_identity_recipient(identities->items[i]));
	for (size_t i = 0; i < pgp_count; i++)
		fprintf(to, "%spgp %s", i + count > 0 ? ", " : "", pgp_keys->items[i].fingerprint);
	if (count + pgp_count == 0)
		fputs("none", to);
}

/* What a document says goes to a terminal as text alone. */
static void control_characters_hide(char *text)
{
	for (; *text; text++) {
		if ((uint8_t)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

int sops_no_key(const struct sops_document *document, const struct sops_keyring *keyring,
		size_t opened, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return error_no_memory(err);
	groups_list(&document->metadata.policy, opened, to);
	tried_list(keyring, to);
	if (fclose(to) != 0)
		return error_no_memory(err);
	control_characters_hide(text);
	error_set(err, VMCRED_MISSING, "%s: %s", document->name, text);
	return error_hint(err,
			  "use an identity of a recipient, or make the identity's public key a "
			  "recipient and encrypt it again");
}
