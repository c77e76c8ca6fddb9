/* SPDX-License-Identifier: Apache-2.0 */
/* The age keys that a manifest names. PGP keys are gpg's business. */
#include <fcntl.h>

#include "activate/manifest.h"
#include "base/io.h"

#define SSH_KEY_SIZE_MAX ((size_t)64 * 1024)

/* A machine may have keys of several types, and some not yet: what cannot be used is told, and the
 * others are. */
static void ssh_key_add(const struct manifest *manifest, const char *path,
			const struct report *report, struct age_identities *identities)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_secret_ struct secret text = {0};
	int r = file_read_secret(AT_FDCWD, path, SSH_KEY_SIZE_MAX, &text, &reason);

	if (r == 0)
		r = age_identities_add_converted(identities, secret_span(&text), path, &reason);
	if (r < 0)
		report_message(report, REPORT_WARNING, "a key of ageSshKeyPaths is not used: %s",
			       reason.text ? reason.text : path);
	else if (manifest->log_keys)
		report_message(report, REPORT_INFO, "imported %s as age key %s", path,
			       age_identity_recipient(identities->items[identities->count - 1]));
}

int manifest_identities(const struct manifest *manifest, const char *age_key_file,
			const struct report *report, struct age_identities *identities,
			struct error *err)
{
	struct report loud = *report;
	const json_t *paths = NULL;
	const char *file = "";
	int r = manifest_texts(manifest->root, "ageSshKeyPaths", &paths, err);

	if (r == 0)
		r = manifest_text(manifest->root, "ageKeyFile", "", &file, err);
	if (r < 0)
		return r;
	if (manifest->log_keys && loud.level < REPORT_INFO)
		loud.level = REPORT_INFO;
	for (size_t i = 0; i < json_array_size(paths); i++)
		ssh_key_add(manifest, json_string_value(json_array_get(paths, i)), &loud,
			    identities);
	if (*file)
		return age_identity_file_load(AT_FDCWD, file, identities, err);
	if (json_array_size(paths) == 0 && age_key_file)
		return age_identity_file_load(AT_FDCWD, age_key_file, identities, err);
	return 0;
}
