/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/vmcred-sops/commands.h"

/* Whether the comma-separated list has the name before `at` as well. */
static bool is_duplicate(const char *list, const char *at, size_t size)
{
	while (list < at) {
		size_t other = strcspn(list, ",");

		if (other == size && memcmp(list, at, size) == 0)
			return true;
		list += other + 1;
	}
	return false;
}

int keyring_prepare(struct invocation *invocation, struct error *err)
{
	const char *list = flag_text(&invocation->flags, FLAG_DECRYPTION_ORDER);
	struct sops_keys *keys = invocation->keys;

	if (keys->keyring.gpg)
		return 0;
	sops_keyring_prepare(keys);
	for (const char *at = list; at && *at;) {
		size_t size = strcspn(at, ",");

		if (is_duplicate(list, at, size))
			return fail(invocation, SOPS_EXIT_ORDER_DUPLICATE, err,
				    "duplicate key type %.*s in --decryption-order", (int)size, at);
		/* sops ignores unknown types, too. */
		for (int i = 0; i < SOPS_KEY_TYPES; i++) {
			const char *name = sops_key_type_name((enum sops_key_type)i);

			if (strlen(name) == size && memcmp(name, at, size) == 0)
				keys->order[keys->keyring.order_count++] = (enum sops_key_type)i;
		}
		at += size + (at[size] == ',');
	}
	if (keys->keyring.order_count > 0)
		keys->keyring.order = keys->order;
	return 0;
}

int keys_load(struct invocation *invocation, const struct sops_document *document,
	      struct error *err)
{
	int r = keyring_prepare(invocation, err);

	return r < 0 ? r
		     : sops_keys_load(invocation->keys, &invocation->cli->report, document, err);
}

/* Adds the keys of a comma-separated list. As in sops, an age recipient is checked at once. */
static int list_add(const char *list, enum sops_key_type type, struct sops_key_group *group,
		    struct error *err)
{
	for (;; list++) {
		_cleanup_age_recipients_ struct age_recipients checked = {0};
		const size_t size = strcspn(list, ",");
		const char *start = list + strspn(list, " \t\n"), *end = list + size;
		struct span key;
		int r = 0;

		while (end > start && strchr(" \t\n", end[-1]))
			end--;
		if (start >= end)
			return error_set(err, VMCRED_USAGE, "empty %s key in the list",
					 sops_key_type_name(type));
		key = span_of(start, (size_t)(end - start));
		if (type == SOPS_KEY_AGE)
			r = age_recipients_add(&checked, key, err);
		if (r == 0)
			r = sops_key_group_add(group, type, key, err);
		list += size;
		if (r < 0 || *list == '\0')
			return r;
	}
}

int flag_keys_read(const struct invocation *invocation, enum key_flags which,
		   struct sops_key_group *group, struct error *err)
{
	/* Each with its add- and rm- flag after it. */
	static const struct {
		enum flag flag;
		enum sops_key_type type;
	} families[] = {
		{FLAG_KMS, SOPS_KEY_KMS},     {FLAG_GCP_KMS, SOPS_KEY_GCP_KMS},
		{FLAG_HCKMS, SOPS_KEY_HCKMS}, {FLAG_AZURE_KV, SOPS_KEY_AZURE_KV},
		{FLAG_PGP, SOPS_KEY_PGP},     {FLAG_HC_VAULT_TRANSIT, SOPS_KEY_HC_VAULT},
		{FLAG_AGE, SOPS_KEY_AGE},
	};

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		enum flag flag = (enum flag)(families[i].flag + (int)which);
		const char *list = flag_text(&invocation->flags, flag);
		int r = list ? list_add(list, families[i].type, group, err) : 0;

		if (r < 0)
			return error_wrap(err, "--%s", flag_name(flag));
	}
	return (int)group->count;
}
