/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that a manifest names. Those in gnupgHome are gpg's business. */
#include "activate/manifest/manifest.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/file.h"

#define SSH_KEY_SIZE_MAX ((size_t)64 * 1024)

/* What an SSH key becomes: the key's own words come with the key. */
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
	int r = sops_pgp_keys_add_ssh(&keys->pgp_keys, text, path, err);

	if (r == 0)
		*name = sops_pgp_key_fingerprint(&keys->pgp_keys, keys->pgp_keys.count - 1);
	return r;
}

static const struct conversion conversions[] = {
	{"ageSshKeyPaths", "age", age_key_add},
	{"sshKeyPaths", "PGP", pgp_key_add},
};

#define CONVERSIONS (sizeof(conversions) / sizeof(conversions[0]))

/* A machine may have keys of several types, and some not yet: what cannot be used is told, and the
 * others are. */
static void ssh_key_add(const struct manifest *manifest, const struct conversion *conversion,
			const char *path, const struct report *report, struct manifest_keys *keys)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret text = {0};
	const char *name = NULL;
	int r = file_read_secret(AT_FDCWD, path, SSH_KEY_SIZE_MAX, &text, &reason);

	if (r == 0)
		r = conversion->add(keys, secret_span(&text), path, &name, &reason);
	if (r < 0)
		report_message(report, REPORT_WARNING, "a key of %s is not used: %s",
			       conversion->member, reason.text ? reason.text : path);
	else if (manifest->log_keys)
		report_message(report, REPORT_INFO, "imported %s as %s key %s", path,
			       conversion->kind, name);
}

static int identities_join(struct manifest_keys *keys, const struct age_identities *more,
			   struct error *err)
{
	size_t own = keys->identities.count, count = own + (more ? more->count : 0);

	keys->all.items = calloc(count + 1, sizeof(struct age_identity *));
	if (!keys->all.items)
		return error_no_memory(err);
	for (; keys->all.count < count; keys->all.count++) {
		size_t i = keys->all.count;

		keys->all.items[i] = i < own ? keys->identities.items[i] : more->items[i - own];
	}
	return 0;
}

int manifest_keys_load(const struct manifest *manifest, const struct manifest_options *options,
		       const struct report *report, struct manifest_keys *keys, struct error *err)
{
	struct report loud = *report;
	const char *file = "";
	int r = manifest_text(manifest->root, "ageKeyFile", "", &file, err);

	if (manifest->log_keys && loud.level < REPORT_INFO)
		loud.level = REPORT_INFO;
	for (size_t i = 0; r == 0 && i < CONVERSIONS; i++) {
		const json_t *paths = NULL;

		r = manifest_texts(manifest->root, conversions[i].member, &paths, err);
		for (size_t j = 0; r == 0 && j < json_array_size(paths); j++)
			ssh_key_add(manifest, &conversions[i],
				    json_string_value(json_array_get(paths, j)), &loud, keys);
	}
	if (r == 0 && *file)
		r = age_identity_file_load(AT_FDCWD, file, &keys->identities, err);
	return r < 0 ? r : identities_join(keys, options->identities, err);
}

bool manifest_has_age_keys(const struct manifest *manifest)
{
	const char *file = json_string_value(json_object_get(manifest->root, "ageKeyFile"));

	return (file && *file) ||
	       json_array_size(json_object_get(manifest->root, "ageSshKeyPaths")) > 0;
}

void manifest_keys_release(struct manifest_keys *keys)
{
	age_identities_destroy(&keys->identities);
	sops_pgp_keys_destroy(&keys->pgp_keys);
	free(keys->all.items);
}
