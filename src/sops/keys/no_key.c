/* SPDX-License-Identifier: Apache-2.0 */
/* The error for a document that no key decrypts lists its keys and the keys that were tried. */
#include <stdio.h>

#include "base/cleanup.h"
#include "sops/keys/key.h"

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
		fputs("no keys", to);
}

static void groups_list(const struct sops_policy *policy, size_t opened, FILE *to)
{
	if (policy->group_count == 1) {
		fputs("no identity matches: it is encrypted to ", to);
		keys_list(&policy->groups[0], to);
		return;
	}
	fprintf(to,
		"%zu of %zu key groups are required, but only %zu could be decrypted: it is "
		"encrypted to ",
		policy->shamir_threshold ? (size_t)policy->shamir_threshold : policy->group_count,
		policy->group_count, opened);
	for (size_t i = 0; i < policy->group_count; i++) {
		fprintf(to, "%sgroup %zu: ", i > 0 ? "; " : "", i + 1);
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

static void control_characters_hide(char *text)
{
	for (; *text; text++) {
		if ((uint8_t)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

int sops_no_key(const struct sops_policy *policy, const struct sops_keyring *keyring,
		const char *what, size_t opened, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return error_no_memory(err);
	groups_list(policy, opened, to);
	tried_list(keyring, to);
	if (fclose(to) != 0)
		return error_no_memory(err);
	control_characters_hide(text);
	error_set(err, VMCRED_MISSING, "%s: %s", what, text);
	return error_hint(err, "use the identity of a recipient, or encrypt it to your public key "
			       "as well");
}
