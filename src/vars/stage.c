/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/path.h"
#include "vars/placing.h"
#include "vars/roster.h"

/* Who may read a value, and to what it is encrypted for them. */
struct audience {
	struct access access;
	struct sops_key_group keys;   /* the roster's */
	struct age_recipients parsed; /* those of them that are age's: once for all files */
};

struct writing {
	struct stage *stage;
	const struct staged *staged;
	char *const *machines;        /* that may read what is deployed */
	struct audience audiences[2]; /* [1]: of what is deployed */
	int parent_dirfd;             /* the folder of the machine's generators */
	bool is_new;                  /* the generator has no files yet */
};

int stage_begin(struct stage *stage, struct error *err)
{
	int r = roster_create(stage->store_dirfd, NULL, &stage->roster, err);

	if (r < 0)
		return r;
	stage->dirfd = placing_begin(stage->store_dirfd, "files", &stage->name, err);
	return stage->dirfd < 0 ? stage->dirfd : 0;
}

void stage_end(struct stage *stage)
{
	if (stage->name)
		placing_abandon(stage->store_dirfd, stage->name);
	free(stage->name);
	cleanup_close_fd(&stage->dirfd);
	roster_destroy(&stage->roster);
}

void staged_name(const struct staged *staged, char name[STAGED_NAME_SIZE])
{
	snprintf(name, STAGED_NAME_SIZE, "%zu", staged->number);
}

static void audience_destroy(struct audience *audience)
{
	access_destroy(&audience->access);
	access_keys_destroy(&audience->keys);
	age_recipients_destroy(&audience->parsed);
}

static void writing_destroy(struct writing *writing)
{
	for (size_t i = 0; i < 2; i++)
		audience_destroy(&writing->audiences[i]);
	cleanup_close_fd(&writing->parent_dirfd);
}

static int recipients_parse(const struct sops_key_group *keys, struct age_recipients *parsed,
			    struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < keys->count; i++) {
		if (keys->keys[i].type == SOPS_KEY_AGE)
			r = age_recipients_add(parsed, span_of_text(keys->keys[i].text), err);
	}
	return r;
}

/* Those that the declaration has, and those that `given` has, unless it is NULL. */
static int audience_find(const struct writing *writing, bool deploy, const struct access *given,
			 struct audience *audience, struct error *err)
{
	const struct stage *stage = writing->stage;
	int r = access_declared(stage->config, stage->roster, deploy ? writing->machines : NULL,
				stage->writer, &audience->access, err);

	for (int type = 0; r == 0 && given && type < VARS_MEMBER_TYPES; type++)
		r = access_add(&audience->access, (enum vars_member_type)type, given->names[type],
			       err);
	if (r == 0)
		r = access_keys(&audience->access, stage->roster, &audience->keys, err);
	if (r == 0)
		r = access_gpg_check(&audience->access, stage->roster, err);
	if (r == 0)
		r = recipients_parse(&audience->keys, &audience->parsed, err);
	if (r < 0 || audience->keys.count > 0)
		return r;
	error_set(err, VMCRED_USAGE,
		  "it would be for nobody: no machine gets it, and there is no user");
	return error_hint(err, "`vmcred user add NAME --age-key KEY` makes one");
}

/* Before anything is written: most of what can go wrong goes wrong here. */
static int audiences_find(struct writing *writing, struct error *err)
{
	const struct config_generator *generator = writing->staged->generator;

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

static bool access_is_within(const struct access *access, const struct access *whole)
{
	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		for (char **name = access->names[type]; name && *name; name++) {
			if (!access_has(whole, (enum vars_member_type)type, *name))
				return false;
		}
	}
	return true;
}

/* Those that the declaration has, and whom the file was given to before: `*audience` is one of the
 * writing's, or `own`. */
static int file_audience(const struct writing *writing, const struct config_file *file,
			 struct audience *own, const struct audience **audience, struct error *err)
{
	_cleanup_access_ struct access given = {0};
	_cleanup_free_ char *folder = NULL;
	int r;

	*audience = &writing->audiences[file->deploy];
	if (writing->is_new)
		return 0;
	folder = path_join(writing->staged->generator->name, file->name);
	if (!folder)
		return error_no_memory(err);
	r = access_given(writing->parent_dirfd, folder, writing->stage->roster, &given, err);
	if (r < 0 || access_is_within(&given, &(*audience)->access))
		return r;
	*audience = own;
	return audience_find(writing, file->deploy, &given, own, err);
}

static int value_put(int dirfd, const struct config_file *file, struct span content,
		     struct error *err)
{
	_cleanup_free_ char *path = path_join(file->name, file->secret ? "secret" : "value");

	return path ? file_write_unsynced(dirfd, path, content, 0644, err) : error_no_memory(err);
}

/* Links to those of a type who may read the secret, as clan has them. */
static int links_put(int dirfd, const struct vars_location *location, enum vars_member_type type,
		     char *const *names, struct error *err)
{
	_cleanup_free_ char *folder = NULL;

	if (!names || !*names)
		return 0;
	folder = path_join(location->file->name, store_kind_directory(type));
	if (!folder)
		return error_no_memory(err);
	if (mkdirat(dirfd, folder, 0755) < 0)
		return error_set_errno(err, errno, "making the folder %s", folder);
	for (; *names; names++) {
		_cleanup_free_ char *target = NULL, *path = path_join(folder, *names);

		if (!path || asprintf(&target, "%s/%s/%s", store_up(location),
				      store_kind_directory(type), *names) < 0) {
			target = NULL;
			return error_no_memory(err);
		}
		if (symlinkat(target, dirfd, path) < 0)
			return error_set_errno(err, errno, "making the link %s", path);
	}
	return 0;
}

static int secret_write(const struct writing *writing, int dirfd, const struct vars_value *value,
			struct error *err)
{
	const struct vars_location location = {writing->staged->machine, writing->staged->generator,
					       value->file};
	__attribute__((cleanup(audience_destroy))) struct audience own = {0};
	_cleanup_secret_ struct secret document = {0};
	struct sops_keyring keyring = {.gpg = sops_gpg()};
	const struct audience *audience;
	int r = file_audience(writing, value->file, &own, &audience, err);

	if (r < 0)
		return r;
	keyring.recipients = &audience->parsed;
	r = sops_binary_encrypt(secret_span(&value->plaintext), &audience->keys, &keyring,
				&document, err);
	if (r == 0)
		r = value_put(dirfd, value->file, secret_span(&document), err);
	for (int i = 0; r == 0 && i < VARS_MEMBER_TYPES; i++)
		r = links_put(dirfd, &location, (enum vars_member_type)i, audience->access.names[i],
			      err);
	return r;
}

/* By paths below the generator's folder: to open each file's own takes longer. */
static int value_write(const struct writing *writing, int dirfd, const struct vars_value *value,
		       struct error *err)
{
	if (mkdirat(dirfd, value->file->name, 0755) < 0)
		return error_set_errno(err, errno, "making the folder %s", value->file->name);
	return value->file->secret
		       ? secret_write(writing, dirfd, value, err)
		       : value_put(dirfd, value->file, secret_span(&value->plaintext), err);
}

static int hash_write(int generator_dirfd, const struct config_generator *generator,
		      struct error *err)
{
	char hash[VARS_HASH_SIZE];
	int r = vars_validation_hash(generator, hash, err);

	if (r < 0 || !hash[0])
		return r;
	return file_write_unsynced(generator_dirfd, STORE_HASH_NAME, span_of_text(hash), 0644, err);
}

static int folder_write(const struct writing *writing, const struct vars_value *values,
			struct error *err)
{
	const struct config_generator *generator = writing->staged->generator;
	_cleanup_close_ int dirfd = -1;
	char name[STAGED_NAME_SIZE];
	int r = 0;

	staged_name(writing->staged, name);
	if (mkdirat(writing->stage->dirfd, name, 0755) < 0)
		return error_set_errno(err, errno, "making a temporary folder");
	dirfd = dir_open(writing->stage->dirfd, name, err);
	if (dirfd < 0)
		return dirfd;
	for (size_t i = 0; r == 0 && i < generator->file_count; i++)
		r = value_write(writing, dirfd, &values[i], err);
	return r < 0 ? r : hash_write(dirfd, generator, err);
}

/* Opens the folder that holds a machine's generators, making it if need be. */
static int parent_open(struct writing *writing, const char *parent, struct error *err)
{
	const int store_dirfd = writing->stage->store_dirfd;
	const bool is_new = mkdirat(store_dirfd, parent, 0755) == 0;

	writing->parent_dirfd = !is_new && errno == ENOENT
					? dir_make(store_dirfd, parent, 0755, err)
					: dir_open(store_dirfd, parent, err);
	if (writing->parent_dirfd < 0)
		return writing->parent_dirfd;
	writing->is_new = is_new || faccessat(writing->parent_dirfd,
					      writing->staged->generator->name, F_OK, 0) < 0;
	return 0;
}

int stage_write(struct stage *stage, const struct staged *staged, const struct vars_value *values,
		char *const *machines, struct error *err)
{
	__attribute__((cleanup(writing_destroy))) struct writing writing = {
		.stage = stage,
		.staged = staged,
		.machines = machines,
		.parent_dirfd = -1,
	};
	_cleanup_free_ char *parent = store_generators_path(staged->machine);
	_cleanup_error_ struct error ignored = {0};
	int r;

	if (!parent)
		return error_no_memory(err);
	r = audiences_find(&writing, err);
	if (r < 0)
		return r;
	r = parent_open(&writing, parent, err);
	if (r == 0)
		r = folder_write(&writing, values, err);
	if (r == 0)
		return 0;
	(void)stage_remove(stage, staged, &ignored);
	return error_wrap(err, "writing %s/%s", parent, staged->generator->name);
}
