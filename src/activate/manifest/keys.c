/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a manifest. Those in gnupgHome are left to gpg. */
#include <fcntl.h>
#include <stdlib.h>

#include "activate/manifest/model.h"
#include "base/file.h"

#define SSH_KEY_SIZE_MAX ((size_t)64 * 1024)

/* How an SSH key is converted. `*name` is the new key's public name. */
struct conversion {
	const char *member, *kind;
	int (*add)(struct manifest_keys *keys, struct span text, const char *path,
		   const char **name, struct error *err);
};

static int age_key_add(struct manifest_keys *keys, struct span text, const char *path,
		       const char **name, struct error *err)
{
	struct age_identities *identities = &keys->identities;
	int r = age_identities_add_converted(identities, text, path, err);

	if (r == 0)
		*name = age_identity_recipient(identities->items[identities->count - 1]);
	return r;
}

static int pgp_key_add(struct manifest_keys *keys, struct span text, const char *path,
		       const char **name, struct error *err)
{
	int r = pgp_keys_add_ssh(&keys->pgp_keys, text, path, err);

	if (r == 0)
		*name = keys->pgp_keys.items[keys->pgp_keys.count - 1].fingerprint;
	return r;
}

/* Adds the keys in a list of paths. A machine can have keys of several types: one that is missing
 * or cannot be used is a warning. */
static void ssh_keys_add(const json_t *paths, const struct conversion *conversion,
			 const struct report *report, struct manifest_keys *keys)
{
	for (size_t i = 0; i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i)), *name = NULL;
		_cleanup_error_ struct error reason = {0};
		_cleanup_secret_ struct secret text = {0};
		int r = file_read_secret(AT_FDCWD, path, SSH_KEY_SIZE_MAX, &text, &reason);

		if (r == 0)
			r = conversion->add(keys, secret_span(&text), path, &name, &reason);
		if (r < 0)
			report_message(report, REPORT_WARNING, "ignoring a key of %s: %s",
				       conversion->member, reason.text ? reason.text : path);
		else
			report_message(report, REPORT_INFO, "imported %s as %s key %s", path,
				       conversion->kind, name);
	}
}

int manifest_keys_load(const struct manifest *manifest, const struct manifest_options *options,
		       const struct report *report, struct manifest_keys *keys, struct error *err)
{
	static const struct conversion age = {"ageSshKeyPaths", "age", age_key_add};
	static const struct conversion pgp = {"sshKeyPaths", "PGP", pgp_key_add};
	const struct age_identities *more = options->identities;
	struct report import = *report;
	size_t count = more ? more->count : 0;
	int r = 0;

	/* The manifest decides whether imported keys are reported. */
	import.level = manifest->log_keys ? REPORT_INFO : REPORT_WARNING;
	ssh_keys_add(manifest->age_ssh_keys, &age, &import, keys);
	ssh_keys_add(manifest->ssh_keys, &pgp, &import, keys);
	keys->identities.report = report;
	if (*manifest->age_key_file)
		r = age_identity_file_load(AT_FDCWD, manifest->age_key_file, &keys->identities,
					   err);
	if (r < 0)
		return r;
	keys->all.items = calloc(keys->identities.count + count + 1, sizeof(struct age_identity *));
	if (!keys->all.items)
		return error_no_memory(err);
	for (size_t i = 0; i < keys->identities.count; i++)
		keys->all.items[keys->all.count++] = keys->identities.items[i];
	for (size_t i = 0; i < count; i++)
		keys->all.items[keys->all.count++] = more->items[i];
	return 0;
}

void manifest_keys_release(struct manifest_keys *keys)
{
	age_identities_destroy(&keys->identities);
	pgp_keys_destroy(&keys->pgp_keys);
	free(keys->all.items);
}
