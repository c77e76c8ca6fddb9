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

const char *store_up(const struct vars_location *location)
{
	if (!location->generator)
		return STORE_UP_MACHINE_KEY;
	/* From vars/shared/G/F/machines/, or one more from vars/per-machine/M/G/F/machines/. */
	return location->machine ? "../../../../../.." : "../../../../..";
}

char *vars_location_path(const struct vars_location *location)
{
	_cleanup_free_ char *folder = store_generators_path(location->machine);
	char *path = NULL;

	if (!location->generator)
		return asprintf(&path, "sops/secrets/%s-age.key/secret", location->machine) < 0
			       ? NULL
			       : path;
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

/* Who may read a secret, and to what it is encrypted for them. */
struct readers {
	struct access access;
	struct age_recipients recipients;
};

struct writing {
	const char *machine; /* NULL: shared */
	const struct config_generator *generator;
	struct readers readers[2]; /* [1]: of what is deployed */
};

static void writing_destroy(struct writing *writing)
{
	for (size_t i = 0; i < 2; i++) {
		access_destroy(&writing->readers[i].access);
		age_recipients_destroy(&writing->readers[i].recipients);
	}
}

/* Before anything is written: most of what can go wrong goes wrong here. */
static int readers_find(const struct config *config, int store_dirfd, char *const *machines,
			struct readers *readers, struct error *err)
{
	int r = access_declared(config, store_dirfd, machines, &readers->access, err);

	if (r == 0)
		r = access_recipients(store_dirfd, &readers->access, NULL, &readers->recipients,
				      err);
	if (r < 0 || readers->recipients.count > 0)
		return r;
	error_set(err, VMCRED_USAGE,
		  "it would be for nobody: no machine gets it, and there is no user");
	return error_hint(err, "`vmcred user add NAME --age-key KEY` makes one");
}

static int writing_prepare(const struct config *config, int store_dirfd,
			   const struct config_generator *generator, char *const *machines,
			   struct writing *writing, struct error *err)
{
	for (size_t i = 0; i < generator->file_count; i++) {
		const struct config_file *file = &generator->files[i];
		struct readers *readers = &writing->readers[file->deploy];

		if (!file->secret || readers->recipients.count > 0)
			continue;
		if (readers_find(config, store_dirfd, file->deploy ? machines : NULL, readers,
				 err) < 0)
			return error_wrap(err, "%s/%s", generator->name, file->name);
	}
	return 0;
}

static int value_write(const struct writing *writing, int generator_dirfd,
		       const struct vars_value *value, struct error *err)
{
	const struct readers *readers = &writing->readers[value->file->deploy];
	const struct vars_location location = {writing->machine, writing->generator, value->file};
	_cleanup_close_ int dirfd = dir_make(generator_dirfd, value->file->name, 0755, err);
	_cleanup_secret_ struct secret document = {0};
	int r;

	if (dirfd < 0)
		return dirfd;
	if (!value->file->secret)
		return file_write_new(dirfd, "value", secret_span(&value->plaintext), 0644, err);
	r = sops_binary_encrypt(secret_span(&value->plaintext), &readers->recipients, &document,
				err);
	if (r == 0)
		r = file_write_new(dirfd, "secret", secret_span(&document), 0644, err);
	if (r == 0)
		r = access_links_write(dirfd, store_up(&location), &readers->access, err);
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

static int generator_write(const struct writing *writing, int parent_dirfd,
			   const struct config_generator *generator,
			   const struct vars_value *values, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_error_ struct error ignored = {0};
	_cleanup_close_ int dirfd =
		dir_make_temporary(parent_dirfd, generator->name, 0755, &temporary, err);
	int r = dirfd < 0 ? dirfd : 0;

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = value_write(writing, dirfd, &values[i], err);
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

int vars_store_write(const struct config *config, int store_dirfd, const char *machine,
		     const struct config_generator *generator, const struct vars_value *values,
		     char *const *machines, struct error *err)
{
	__attribute__((cleanup(writing_destroy))) struct writing writing = {.machine = machine,
									    .generator = generator};
	_cleanup_free_ char *parent = store_generators_path(machine);
	_cleanup_close_ int parent_dirfd = -1;
	int r = parent ? writing_prepare(config, store_dirfd, generator, machines, &writing, err)
		       : error_no_memory(err);

	if (r < 0)
		return r;
	parent_dirfd = dir_make(store_dirfd, parent, 0755, err);
	if (parent_dirfd < 0)
		return parent_dirfd;
	r = dir_remove_temporaries(parent_dirfd, generator->name, false, err);
	if (r == 0)
		r = generator_write(&writing, parent_dirfd, generator, values, err);
	return r < 0 ? error_wrap(err, "writing %s/%s", parent, generator->name) : 0;
}
