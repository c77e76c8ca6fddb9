/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/merge_conflict.h"
#include "sops/sops.h"
#include "vars/placing.h"
#include "vars/store.h"

char *store_generators_path(const char *machine)
{
	char *path = NULL;

	if (!machine)
		return strdup("vars/shared");
	if (asprintf(&path, "vars/per-machine/%s", machine) < 0)
		return NULL;
	return path;
}

const char *store_up(const struct vars_location *location)
{
	if (!location->generator)
		return STORE_UP_MACHINE_KEY;
	/* From vars/shared/G/F/machines/, or one more from vars/per-machine/M/G/F/machines/. */
	return location->machine ? "../../../../../../sops" : "../../../../../sops";
}

char *vars_location_path(const struct vars_location *location)
{
	_cleanup_free_ char *folder = store_generators_path(location->machine);
	char *path = NULL;

	if (!location->generator &&
	    asprintf(&path, "sops/secrets/%s%s/secret",
		     location->machine ? location->machine : location->file->name,
		     location->machine ? "-age.key" : "") < 0)
		return NULL;
	if (!location->generator)
		return path;
	if (!folder ||
	    asprintf(&path, "%s/%s/%s/%s", folder, location->generator->name, location->file->name,
		     location->file->secret ? "secret" : "value") < 0)
		return NULL;
	return path;
}

int vars_store_has(int store_dirfd, const struct vars_location *location, struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(location);

	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, 0) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	error_set_errno(err, errno, "looking for %s", path);
	return errno == ENOTDIR
		       ? error_hint(err, "a file is where a folder has to be: move it away")
		       : -(int)err->code;
}

int vars_value_check(int store_dirfd, const struct vars_location *location, struct error *err)
{
	_cleanup_secret_ struct secret ignored = {0};

	return vars_store_read(store_dirfd, location, NULL, &ignored, err);
}

int vars_store_read(int store_dirfd, const struct vars_location *location,
		    const struct sops_keyring *keyring, struct secret *value, struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(location);
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (!path)
		return error_no_memory(err);
	r = file_read_secret(store_dirfd, path, VARS_DOCUMENT_SIZE_MAX, &text, err);
	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "`vmcred generate%s%s` makes it", location->machine ? " " : "",
			   location->machine ? location->machine : "");
	/* A document is no JSON then; a public value may be any bytes, and has no other check. */
	if (r == 0 && !location->file->secret)
		r = merge_conflict_check(secret_span(&text), path, err);
	if (r < 0)
		return r;
	if (!location->file->secret) {
		secret_move(value, &text);
		return 0;
	}
	return sops_binary_decrypt(secret_span(&text), path, keyring, value, err);
}
