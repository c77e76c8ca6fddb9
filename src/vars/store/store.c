/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/merge_conflict.h"
#include "base/name.h"

char *store_generators_path(const char *machine)
{
	return machine ? text_format("vars/per-machine/%s", machine) : strdup("vars/shared");
}

const char *store_links_up(const struct vars_location *location)
{
	if (!location->generator)
		return "../../..";
	/* From vars/shared/G/F/machines/, or vars/per-machine/M/G/F/machines/. */
	return location->machine ? "../../../../../../sops" : "../../../../../sops";
}

char *vars_location_path(const struct vars_location *location)
{
	_cleanup_free_ char *directory = NULL;

	if (!location->generator)
		return location->machine
			       ? text_format("sops/secrets/%s" STORE_MACHINE_KEY_SUFFIX "/secret",
					     location->machine)
			       : text_format("sops/secrets/%s/secret", location->file->name);
	directory = store_generators_path(location->machine);
	return directory ? text_format("%s/%s/%s/%s", directory, location->generator->name,
				       location->file->name,
				       location->file->secret ? "secret" : "value")
			 : NULL;
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
	error_set_errno(err, errno, "%s", path);
	return errno == ENOTDIR ? error_hint(err, STORE_NOT_A_DIRECTORY_HINT) : -(int)err->code;
}

int vars_store_read(int store_dirfd, const struct vars_location *location,
		    const struct sops_keyring *keyring, struct secret *value, struct error *err)
{
	struct stat around[2];

	return vars_store_read_stat(store_dirfd, location, keyring, value, around, err);
}

int vars_store_read_stat(int store_dirfd, const struct vars_location *location,
			 const struct sops_keyring *keyring, struct secret *value,
			 struct stat around[2], struct error *err)
{
	_cleanup_free_ char *path = vars_location_path(location);
	_cleanup_close_ int fd = path ? file_open(store_dirfd, path, err) : error_no_memory(err);
	_cleanup_secret_ struct secret text = {0};
	int r = fd < 0 ? fd : 0;

	if (r == 0 && fstat(fd, &around[0]) < 0)
		r = error_set_errno(err, errno, "%s", path);
	if (r == 0)
		r = secret_read(&text, fd, VARS_DOCUMENT_SIZE_MAX, path, err);
	if (r == 0 && fstat(fd, &around[1]) < 0)
		r = error_set_errno(err, errno, "%s", path);
	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "run `vmcred generate%s%s`", location->machine ? " " : "",
			   location->machine ? location->machine : "");
	if (r < 0)
		return r;
	if (location->file->secret)
		return sops_binary_decrypt(secret_span(&text), path, path, keyring, value, err);
	/* A public value may be any bytes; nothing else would notice conflict markers in it. */
	r = merge_conflict_check(secret_span(&text), path, err);
	if (r == 0)
		secret_move(value, &text);
	return r;
}

struct listing {
	const char *directory;
	struct strings *names;
};

static int name_add(void *context, const char *entry, struct error *err)
{
	const struct listing *listing = context;
	int r;

	if (entry[0] == '.')
		return 0;
	r = store_name_check(listing->directory, entry, err);
	return r < 0 ? r : strings_add(listing->names, entry, err);
}

int store_names_list(int dirfd, const char *directory, struct strings *names, struct error *err)
{
	struct listing listing = {.directory = directory, .names = names};
	int r = dir_each(dirfd, directory, name_add, &listing, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		r = 0;
	}
	if (r == 0 && names->count > 0)
		qsort(names->items, names->count, sizeof(char *), texts_compare);
	return r;
}

bool vars_store_exists(int store_dirfd)
{
	return faccessat(store_dirfd, "vars", F_OK, 0) == 0 ||
	       faccessat(store_dirfd, "sops", F_OK, 0) == 0;
}

int vars_lock(struct lock *lock, int store_dirfd, const struct report *report, struct error *err)
{
	int r = lock_take(lock, store_dirfd, false, "the store", err);

	if (r > 0) {
		report_message(report, REPORT_WARNING,
			       "waiting for another vmcred that is using this store");
		r = lock_take(lock, store_dirfd, true, "the store", err);
	}
	return r < 0 ? r : store_clean(store_dirfd, err);
}
