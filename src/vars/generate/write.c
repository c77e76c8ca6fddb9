/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "vars/check/check.h"
#include "vars/generate/staging.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* The readers of a value, and the keys that it is encrypted to. */
struct audience {
	struct readers readers;
	struct sops_key_group keys;   /* the cache's */
	struct age_recipients parsed; /* the age keys among them, parsed once for all files */
};

struct writing {
	struct staging *staging;
	const struct staged *staged;
	struct audience audiences[2]; /* [1]: of deployed files */
	int parent_dirfd;             /* the directory of the machine's generators */
	bool is_new;                  /* the generator has no files yet */
};

static void audience_destroy(struct audience *audience)
{
	readers_destroy(&audience->readers);
	readers_keys_release(&audience->keys);
	age_recipients_destroy(&audience->parsed);
}

static void writing_destroy(struct writing *writing)
{
	for (size_t i = 0; i < 2; i++)
		audience_destroy(&writing->audiences[i]);
	cleanup_close_fd(&writing->parent_dirfd);
}

/* The declared readers and those of `linked`, unless it is NULL. */
static int audience_find(const struct writing *writing, bool deploy, const struct readers *linked,
			 struct audience *audience, struct error *err)
{
	const struct staging *staging = writing->staging;
	const struct vars_job *job = writing->staged->job;
	char *const own[] = {(char *)job->machine, NULL}; /* only read */
	char *const *machines =
		job->machine ? own : config_generator_machines(staging->config, job->generator);
	const struct sops_key_group *keys = &audience->keys;
	int r = readers_add_declared(staging->config, staging->cache, deploy ? machines : NULL,
				     staging->writer, &audience->readers, err);

	for (int type = 0; r == 0 && linked && type < VARS_MEMBER_TYPES; type++)
		r = readers_add(&audience->readers, (enum vars_member_type)type,
				linked->names[type].items, err);
	if (r == 0)
		r = readers_keys(&audience->readers, staging->cache, &audience->keys, err);
	if (r == 0)
		r = readers_gpg_check(&audience->readers, staging->cache, err);
	for (size_t i = 0; r == 0 && i < keys->count; i++) {
		if (keys->keys[i].type == SOPS_KEY_AGE)
			r = age_recipients_add(&audience->parsed, span_of_text(keys->keys[i].text),
					       err);
	}
	if (r < 0 || keys->count > 0)
		return r;
	error_set(err, VMCRED_USAGE, "no recipients: it is not deployed and there are no users");
	return error_hint(err, "`vmcred user add NAME --age-key KEY` registers one");
}

/* Before anything is written: most failures happen here. */
static int audiences_find(struct writing *writing, struct error *err)
{
	const struct config_generator *generator = writing->staged->job->generator;

	for (size_t i = 0; i < generator->file_count; i++) {
		const struct config_file *file = &generator->files[i];
		struct audience *audience = &writing->audiences[file->deploy];

		if (!file->secret || audience->keys.count > 0)
			continue;
		if (audience_find(writing, file->deploy, NULL, audience, err) < 0)
			return error_wrap(err, "%s/%s", generator->name, file->name);
	}
	return 0;
}

/* The declared readers and those that the old file is linked to: sets `*audience` to one of the
 * writing's, or to `own`. */
static int file_audience(const struct writing *writing, const struct config_file *file,
			 struct audience *own, const struct audience **audience, struct error *err)
{
	_cleanup_readers_ struct readers linked = {0};
	_cleanup_free_ char *directory = NULL;
	int r;

	*audience = &writing->audiences[file->deploy];
	if (writing->is_new)
		return 0;
	directory = path_join(writing->staged->job->generator->name, file->name);
	if (!directory)
		return error_no_memory(err);
	r = readers_add_linked(writing->parent_dirfd, directory, writing->staging->cache, &linked,
			       err);
	if (r < 0 || readers_are_within(&linked, &(*audience)->readers))
		return r;
	*audience = own;
	return audience_find(writing, file->deploy, &linked, own, err);
}

static int content_write(int dirfd, const struct config_file *file, struct span content,
			 struct error *err)
{
	_cleanup_free_ char *path = path_join(file->name, file->secret ? "secret" : "value");

	return path ? file_write_unsynced(dirfd, path, content, 0644, err) : error_no_memory(err);
}

static int links_write(int dirfd, const struct vars_location *location, enum vars_member_type type,
		       const struct strings *names, struct error *err)
{
	const char *directory = members_directory(type);
	_cleanup_free_ char *parent = NULL;

	if (names->count == 0)
		return 0;
	parent = path_join(location->file->name, directory);
	if (!parent)
		return error_no_memory(err);
	if (mkdirat(dirfd, parent, 0755) < 0)
		return error_set_errno(err, errno, "creating %s", parent);
	for (size_t i = 0; i < names->count; i++) {
		_cleanup_free_ char *path = path_join(parent, names->items[i]);
		_cleanup_free_ char *target = text_format("%s/%s/%s", store_links_up(location),
							  directory, names->items[i]);

		if (!path || !target)
			return error_no_memory(err);
		if (symlinkat(target, dirfd, path) < 0)
			return error_set_errno(err, errno, "creating the link %s", path);
	}
	return 0;
}

static int secret_value_write(const struct writing *writing, int dirfd, const struct value *value,
			      struct error *err)
{
	const struct vars_job *job = writing->staged->job;
	const struct vars_location location = {job->machine, job->generator, value->file};
	__attribute__((cleanup(audience_destroy))) struct audience own = {0};
	_cleanup_secret_ struct secret document = {0};
	struct sops_keyring keyring = {.gpg = sops_gpg()};
	_cleanup_free_ char *path = vars_location_path(&location);
	const struct audience *audience = NULL;
	int r = path ? file_audience(writing, value->file, &own, &audience, err)
		     : error_no_memory(err);

	if (r < 0)
		return r;
	keyring.recipients = &audience->parsed;
	r = sops_binary_encrypt(secret_span(&value->plaintext), path, &audience->keys, &keyring,
				&document, err);
	if (r == 0)
		r = content_write(dirfd, value->file, secret_span(&document), err);
	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = links_write(dirfd, &location, (enum vars_member_type)type,
				&audience->readers.names[type], err);
	return r;
}

/* Uses paths below the generator's directory, which is faster than opening each file's own. */
static int files_write(const struct writing *writing, const struct value *values, struct error *err)
{
	const struct config_generator *generator = writing->staged->job->generator;
	_cleanup_close_ int dirfd = -1;
	char name[STAGED_NAME_SIZE], hash[VALIDATION_HASH_SIZE];
	int r = validation_hash(generator, hash, err);

	if (r < 0)
		return r;
	staged_name(writing->staged, name);
	if (mkdirat(writing->staging->dirfd, name, 0755) < 0)
		return error_set_errno(err, errno, "creating a temporary directory");
	dirfd = dir_open(writing->staging->dirfd, name, err);
	if (dirfd < 0)
		return dirfd;
	for (size_t i = 0; r == 0 && i < generator->file_count; i++) {
		const struct config_file *file = values[i].file;

		if (mkdirat(dirfd, file->name, 0755) < 0)
			return error_set_errno(err, errno, "creating %s", file->name);
		r = file->secret
			    ? secret_value_write(writing, dirfd, &values[i], err)
			    : content_write(dirfd, file, secret_span(&values[i].plaintext), err);
	}
	if (r == 0 && hash[0])
		r = file_write_unsynced(dirfd, STORE_HASH_NAME, span_of_text(hash), 0644, err);
	return r;
}

/* Its last part is synced when the files are published. */
static int parent_make(int store_dirfd, const char *parent, struct error *err)
{
	const char *name = strrchr(parent, '/');
	_cleanup_free_ char *above = strndup(parent, (size_t)(name - parent));
	_cleanup_close_ int dirfd = above ? dir_make(store_dirfd, above, 0755, err) : -1;

	if (!above)
		return error_no_memory(err);
	if (dirfd < 0)
		return dirfd;
	if (mkdirat(dirfd, name + 1, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "creating %s", parent);
	return dir_open(store_dirfd, parent, err);
}

/* Opens the directory of the machine's generators, and creates it if necessary. */
static int parent_open(struct writing *writing, struct error *err)
{
	const struct vars_job *job = writing->staged->job;
	_cleanup_free_ char *parent = store_generators_path(job->machine);
	const int store_dirfd = writing->staging->store_dirfd;

	if (!parent)
		return error_no_memory(err);
	writing->parent_dirfd = dir_open(store_dirfd, parent, err);
	if (writing->parent_dirfd == -(int)VMCRED_MISSING) {
		error_clear(err);
		writing->parent_dirfd = parent_make(store_dirfd, parent, err);
	}
	if (writing->parent_dirfd < 0)
		return writing->parent_dirfd;
	writing->is_new = faccessat(writing->parent_dirfd, job->generator->name, F_OK,
				    AT_SYMLINK_NOFOLLOW) < 0;
	return 0;
}

int staging_write(struct staging *staging, const struct staged *staged, const struct value *values,
		  struct error *err)
{
	__attribute__((cleanup(writing_destroy))) struct writing writing = {
		.staging = staging,
		.staged = staged,
		.parent_dirfd = -1,
	};
	_cleanup_error_ struct error ignored = {0};
	int r = audiences_find(&writing, err);

	if (r < 0)
		return r;
	r = parent_open(&writing, err);
	if (r == 0)
		r = files_write(&writing, values, err);
	if (r == 0)
		return 0;
	(void)staging_remove(staging, staged, &ignored);
	return staged_error_wrap(staged, err);
}
