/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sops/sops.h"
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

char *vars_location_path(const struct vars_location *location)
{
	_cleanup_free_ char *folder = store_generators_path(location->machine);
	char *path = NULL;

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
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return error_set_errno(err, errno, "looking for %s", path);
}

int vars_store_read(int store_dirfd, const struct vars_location *location,
		    const struct age_identities *identities, struct secret *value,
		    struct error *err)
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
	if (r < 0)
		return r;
	if (!location->file->secret) {
		secret_move(value, &text);
		return 0;
	}
	return sops_binary_decrypt(secret_span(&text), path, identities, value, err);
}

/* A link to each machine that may read the file, as clan keeps them. */
static int machine_links_write(int file_dirfd, bool shared, char *const *machines,
			       struct error *err)
{
	_cleanup_close_ int dirfd = dir_make(file_dirfd, "machines", 0755, err);

	if (dirfd < 0)
		return dirfd;
	for (; *machines; machines++) {
		_cleanup_free_ char *target = NULL;

		/* From vars/shared/G/F/machines/, or one more from
		 * vars/per-machine/M/G/F/machines/. */
		if (asprintf(&target, "%s../../../../../sops/machines/%s", shared ? "" : "../",
			     *machines) < 0) {
			target = NULL;
			return error_no_memory(err);
		}
		if (symlinkat(target, dirfd, *machines) < 0)
			return error_set_errno(err, errno, "making the link machines/%s",
					       *machines);
	}
	return dir_sync(dirfd, "machines", err);
}

static int value_write(int generator_dirfd, const struct vars_value *value, bool shared,
		       const struct age_recipients *recipients, char *const *machines,
		       struct error *err)
{
	_cleanup_close_ int dirfd = dir_make(generator_dirfd, value->file->name, 0755, err);
	_cleanup_secret_ struct secret document = {0};
	int r;

	if (dirfd < 0)
		return dirfd;
	if (!value->file->secret)
		return file_write_new(dirfd, "value", secret_span(&value->plaintext), 0644, err);
	r = sops_binary_encrypt(secret_span(&value->plaintext), recipients, &document, err);
	if (r == 0)
		r = file_write_new(dirfd, "secret", secret_span(&document), 0644, err);
	if (r == 0)
		r = machine_links_write(dirfd, shared, machines, err);
	return r < 0 ? r : dir_sync(dirfd, value->file->name, err);
}

/* Puts the finished folder in the place of `name`, in one step; what was there is removed
 * afterwards. */
static int generator_switch(int parent_dirfd, const char *temporary, const char *name,
			    struct error *err)
{
	int r;

	if (renameat2(parent_dirfd, temporary, parent_dirfd, name, RENAME_NOREPLACE) == 0)
		return dir_sync(parent_dirfd, name, err);
	if (errno != EEXIST)
		return error_set_errno(err, errno, "putting %s in place", name);
	if (renameat2(parent_dirfd, temporary, parent_dirfd, name, RENAME_EXCHANGE) < 0)
		return error_set_errno(err, errno, "putting %s in the old one's place", name);
	r = dir_sync(parent_dirfd, name, err);
	return r < 0 ? r : dir_remove_tree(parent_dirfd, temporary, false, err);
}

static int hash_write(int generator_dirfd, const struct config_generator *generator,
		      struct error *err)
{
	char hash[VARS_HASH_SIZE];
	int r = vars_validation_hash(generator, hash, err);

	if (r < 0 || !hash[0])
		return r;
	return file_write_new(generator_dirfd, STORE_HASH_NAME, span_of_text(hash), 0644, err);
}

static int generator_write(int parent_dirfd, const struct config_generator *generator, bool shared,
			   const struct vars_value *values, const struct age_recipients *recipients,
			   char *const *machines, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd =
		dir_make_temporary(parent_dirfd, generator->name, 0755, &temporary, err);
	int r = dirfd < 0 ? dirfd : 0;

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = value_write(dirfd, &values[i], shared, recipients, machines, err);
	if (r == 0)
		r = hash_write(dirfd, generator, err);
	if (r == 0)
		r = dir_sync(dirfd, generator->name, err);
	if (r == 0)
		r = generator_switch(parent_dirfd, temporary, generator->name, err);
	if (r < 0)
		(void)dir_remove_tree(parent_dirfd, temporary, false, &ignored);
	return r;
}

int vars_store_write(int store_dirfd, const char *machine, const struct config_generator *generator,
		     const struct vars_value *values, char *const *machines, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	_cleanup_free_ char *parent = store_generators_path(machine);
	_cleanup_close_ int parent_dirfd = -1;
	int r = 0;

	if (!parent)
		return error_no_memory(err);
	for (char *const *name = machines; r == 0 && *name; name++)
		r = vars_store_machine_recipient(store_dirfd, *name, &recipients, err);
	if (r < 0)
		return r;
	parent_dirfd = dir_make(store_dirfd, parent, 0755, err);
	if (parent_dirfd < 0)
		return parent_dirfd;
	r = dir_remove_temporaries(parent_dirfd, generator->name, false, err);
	if (r == 0)
		r = generator_write(parent_dirfd, generator, !machine, values, &recipients,
				    machines, err);
	return r < 0 ? error_wrap(err, "writing %s/%s", parent, generator->name) : 0;
}
