/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/vmcred-sops/call.h"

/* Whether a word of a list with commas stands before `at` too. */
static bool is_repeated(const char *list, const char *at, size_t size)
{
	while (list < at) {
		size_t other = strcspn(list, ",");

		if (other == size && memcmp(list, at, size) == 0)
			return true;
		list += other + 1;
	}
	return false;
}

/* --decryption-order; types that are not known are of no consequence, as to sops. */
static int order_read(struct sops_call *call, struct error *err)
{
	const char *list = sops_flag_text(&call->arguments, SOPS_FLAG_DECRYPTION_ORDER);
	struct sops_keys *keys = call->keys;

	for (const char *at = list; at && *at;) {
		size_t size = strcspn(at, ",");

		if (is_repeated(list, at, size))
			return sops_fail(call, SOPS_EXIT_ORDER_TWICE, err,
					 "--decryption-order names %.*s twice", (int)size, at);
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

int sops_call_keyring_prepare(struct sops_call *call, struct error *err)
{
	if (call->keys->keyring.gpg)
		return 0;
	sops_keyring_prepare(call->keys);
	return order_read(call, err);
}

int sops_call_keys_load(struct sops_call *call, const struct sops_document *document,
			struct error *err)
{
	int r = sops_call_keyring_prepare(call, err);

	return r < 0 ? r : sops_keys_load(call->keys, &call->cli->report, document, err);
}
