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
	const struct config *config;
	int store_dirfd;
	int parent_dirfd;    /* of the generator's folder */
	const char *machine; /* NULL: shared */
	const struct config_generator *generator;
	char *const *machines;
	const char *writer;        /* may be NULL */
	struct readers readers[2]; /* as declared; [1]: of what is deployed */
};

static void readers_destroy(struct readers *readers)
{
	access_destroy(&readers->access);
	age_recipients_destroy(&readers->recipients);
}

static void writing_destroy(struct writing *writing)
{
	readers_destroy(&writing->readers[0]);
	readers_destroy(&writing->readers[1]);
}

/* Adds to those that are in `readers->access` already. */
static int readers_find(const struct writing *writing, bool deploy, struct readers *readers,
			struct error *err)
{
	int r = access_declared(writing->config, writing->store_dirfd,
				deploy ? writing->machines : NULL, writing->writer,
				&readers->access, err);

	if (r == 0)
		r = access_recipients(writing->store_dirfd, &readers->access, NULL,
				      &readers->recipients, err);
	if (r < 0 || readers->recipients.count > 0)
		return r;
	error_set(err, VMCRED_USAGE,
		  "it would be for nobody: no machine gets it, and there is no user");
	return error_hint(err, "`vmcred user add NAME --age-key KEY` makes one");
}

/* Before anything is written: most of what can go wrong goes wrong here. */
static int writing_prepare(struct writing *writing, struct error *err)
{
	const struct config_generator *generator = writing->generator;

	for (size_t i = 0; i < generator->file_count; i++) {
		const struct config_file *file = &generator->files[i];
		struct readers *readers = &writing->readers[file->deploy];

		if (!file->secret || readers->recipients.count > 0)
			continue;
		if (readers_find(writing, file->deploy, readers, err) < 0)
			return error_wrap(err, "%s/%s", generator->name, file->name);
	}
	return 0;
}

static bool access_is_within(const struct access *access, const struct access *whole)
{
	for (int kind = 0; kind < STORE_KINDS; kind++) {
		for (char **name = access->names[kind]; name && *name; name++) {
			if (!access_has(whole, (enum store_kind)kind, *name))
				return false;
		}
	}
	return true;
}

/* Those that the declaration has, and whom the file was given to before: `*readers` is one of the
 * writing's, or `own`. */
static int file_readers(const struct writing *writing, const struct config_file *file,
			struct readers *own, const struct readers **readers, struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	int r;

	*readers = &writing->readers[file->deploy];
	if (asprintf(&folder, "%s/%s", writing->generator->name, file->name) < 0) {
		folder = NULL;
		return error_no_memory(err);
	}
	r = access_given(writing->store_dirfd, writing->parent_dirfd, folder, &own->access, err);
	if (r < 0 || access_is_within(&own->access, &(*readers)->access))
		return r;
	*readers = own;
	return readers_find(writing, file->deploy, own, err);
}

static int secret_write(const struct writing *writing, int dirfd, const struct vars_value *value,
			struct error *err)
{
	const struct vars_location location = {writing->machine, writing->generator, value->file};
	__attribute__((cleanup(readers_destroy))) struct readers own = {0};
	_cleanup_secret_ struct secret document = {0};
	const struct readers *readers;
	int r = file_readers(writing, value->file, &own, &readers, err);

	if (r == 0)
		r = sops_binary_encrypt(secret_span(&value->plaintext), &readers->recipients,
					&document, err);
	if (r == 0)
		r = file_write_new(dirfd, "secret", secret_span(&document), 0644, err);
	return r < 0 ? r : access_links_add(dirfd, store_up(&location), &readers->access, err);
}

static int value_write(const struct writing *writing, int generator_dirfd,
		       const struct vars_value *value, struct error *err)
{
	_cleanup_close_ int dirfd = dir_make(generator_dirfd, value->file->name, 0755, err);
	int r;

	if (dirfd < 0)
		return dirfd;
	if (!value->file->secret)
		return file_write_new(dirfd, "value", secret_span(&value->plaintext), 0644, err);
	r = secret_write(writing, dirfd, value, err);
	return r < 0 ? r : dir_sync(dirfd, value->file->name, err);
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

static int generator_write(const struct writing *writing, const struct vars_value *values,
			   struct error *err)
{
	const struct config_generator *generator = writing->generator;
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int dirfd =
		placing_begin(writing->store_dirfd, generator->name, &temporary, err);
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
		r = placing_finish(writing->store_dirfd, temporary, writing->parent_dirfd,
				   generator->name, err);
	if (r < 0)
		placing_abandon(writing->store_dirfd, temporary);
	return r;
}

int vars_store_write(const struct config *config, int store_dirfd, const char *machine,
		     const struct config_generator *generator, const struct vars_value *values,
		     char *const *machines, const char *writer, struct error *err)
{
	__attribute__((cleanup(writing_destroy))) struct writing writing = {
		.config = config,
		.store_dirfd = store_dirfd,
		.machine = machine,
		.generator = generator,
		.machines = machines,
		.writer = writer,
	};
	_cleanup_free_ char *parent = store_generators_path(machine);
	_cleanup_close_ int parent_dirfd = -1;
	int r = parent ? writing_prepare(&writing, err) : error_no_memory(err);

	if (r < 0)
		return r;
	parent_dirfd = dir_make(store_dirfd, parent, 0755, err);
	if (parent_dirfd < 0)
		return parent_dirfd;
	writing.parent_dirfd = parent_dirfd;
	r = generator_write(&writing, values, err);
	return r < 0 ? error_wrap(err, "writing %s/%s", parent, generator->name) : 0;
}
