/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys of machines and users, in sops/machines/<name>/key.json and
 * sops/users/<name>/key.json. clan writes one object or a list of them, each with "publickey" and
 * "type": an age recipient, or a PGP key's fingerprint.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/name.h"
#include "vars/placing.h"
#include "vars/store.h"

#define KEY_FILE_SIZE_MAX ((size_t)64 * 1024)

#define FINGERPRINT_SIZE 40 /* a version 4 key's: RFC 4880, section 12.2 */

const char *store_kind_directory(enum vars_member_type type)
{
	return type == VARS_MACHINE ? "machines" : type == VARS_USER ? "users" : "groups";
}

const char *vars_member_type_name(enum vars_member_type type)
{
	return type == VARS_MACHINE ? "machine" : type == VARS_USER ? "user" : "group";
}

char *store_member_path(enum vars_member_type type, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "sops/%s/%s", store_kind_directory(type), name) < 0)
		return NULL;
	return path;
}

static char *key_path(enum vars_member_type type, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "sops/%s/%s/key.json", store_kind_directory(type), name) < 0)
		return NULL;
	return path;
}

/* "age", "pgp"; clan takes them in any case. */
static int key_type_read(const char *word, enum sops_key_type *type, struct error *err)
{
	static const enum sops_key_type types[] = {SOPS_KEY_AGE, SOPS_KEY_PGP};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		*type = types[i];
		if (strcasecmp(word, sops_key_type_name(types[i])) == 0)
			return 0;
	}
	return error_set(err, VMCRED_FAILED, "a key of type \"%s\" is not supported", word);
}

static int fingerprint_check(const char *text, struct error *err)
{
	if (strlen(text) == FINGERPRINT_SIZE &&
	    strspn(text, "0123456789abcdefABCDEF") == FINGERPRINT_SIZE)
		return 0;
	error_set(err, VMCRED_USAGE, "\"%s\" is not a PGP key's fingerprint, %d hexadecimal digits",
		  text, FINGERPRINT_SIZE);
	return error_hint(err, "`gpg --list-keys` shows it");
}

int vars_key_add(struct sops_key_group *keys, enum sops_key_type type, const char *text,
		 struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients checked = {0};
	int r = sops_key_group_add(keys, type, span_of_text(text), err);

	if (r < 0)
		return r;
	/* Spaces between a fingerprint's digits are dropped by now. */
	return type == SOPS_KEY_PGP ? fingerprint_check(keys->keys[keys->count - 1].text, err)
				    : age_recipients_add(&checked, span_of_text(text), err);
}

static int key_entry_add(const json_t *entry, struct sops_key_group *keys, struct error *err)
{
	const char *word = json_string_value(json_object_get(entry, "type"));
	const char *key = json_string_value(json_object_get(entry, "publickey"));
	enum sops_key_type type = SOPS_KEY_AGE;
	int r;

	if (!word || !key)
		return error_set(err, VMCRED_FAILED,
				 "an entry does not have the texts \"publickey\" and \"type\"");
	r = key_type_read(word, &type, err);
	return r < 0 ? r : vars_key_add(keys, type, key, err);
}

static int key_text_add(struct span text, const char *path, struct sops_key_group *group,
			struct error *err)
{
	_cleanup_json_ json_t *keys = NULL;
	int r = json_parse(text, path, &keys, err);

	if (r < 0)
		return r;
	if (!json_is_array(keys)) {
		r = key_entry_add(keys, group, err);
		return r < 0 ? error_wrap(err, "%s", path) : 0;
	}
	if (json_array_size(keys) == 0)
		return error_set(err, VMCRED_FAILED, "%s: holds no key", path);
	for (size_t i = 0; i < json_array_size(keys); i++) {
		r = key_entry_add(json_array_get(keys, i), group, err);
		if (r < 0)
			return error_wrap(err, "%s", path);
	}
	return 0;
}

int store_no_key(enum vars_member_type type, const char *name, struct error *err)
{
	error_set(err, VMCRED_MISSING, "the %s %s has no key: there is no sops/%s/%s/key.json",
		  vars_member_type_name(type), name, store_kind_directory(type), name);
	if (type == VARS_USER)
		return error_hint(err, "`vmcred user add %s --age-key KEY` registers one", name);
	return error_hint(err, "`vmcred keygen --machine %s --output FILE` makes one", name);
}

int store_key_read(int store_dirfd, enum vars_member_type type, const char *name,
		   struct sops_key_group *keys, struct error *err)
{
	_cleanup_free_ char *path = key_path(type, name), *text = NULL;
	size_t size = 0;
	int r;

	if (!path)
		return error_no_memory(err);
	r = file_read_text(store_dirfd, path, KEY_FILE_SIZE_MAX, &text, &size, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return store_no_key(type, name, err);
	}
	if (r < 0)
		return r;
	return key_text_add(span_of(text, size), path, keys, err);
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(((const struct sops_key *)a)->text, ((const struct sops_key *)b)->text);
}

/* Whether the file holds exactly these keys, in whatever order. */
static bool keys_are_registered(int store_dirfd, enum vars_member_type type, const char *name,
				const struct sops_key_group *sorted)
{
	_cleanup_sops_key_group_ struct sops_key_group there = {0};
	_cleanup_error_ struct error ignored = {0};

	if (store_key_read(store_dirfd, type, name, &there, &ignored) < 0 ||
	    there.count != sorted->count || !there.keys)
		return false;
	qsort(there.keys, there.count, sizeof(*there.keys), text_compare);
	for (size_t i = 0; i < there.count; i++) {
		if (sops_key_compare(&there.keys[i], &sorted->keys[i]) != 0)
			return false;
	}
	return true;
}

/* A list, also of one key, and no line break at the end: as clan writes it. */
static int keys_format(const struct sops_key_group *sorted, char **text, struct error *err)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; list && i < sorted->count; i++) {
		json_t *entry = json_pack("{s:s, s:s}", "publickey", sorted->keys[i].text, "type",
					  sops_key_type_name(sorted->keys[i].type));

		if (json_array_append_new(list, entry) < 0)
			return error_no_memory(err);
	}
	*text = list ? json_dumps(list, JSON_INDENT(2)) : NULL;
	return *text ? 0 : error_no_memory(err);
}

/* Sorted as clan sorts them. `keys` are borrowed. */
static int keys_sort(const struct sops_key_group *keys, struct sops_key_group *sorted,
		     struct error *err)
{
	sorted->keys = calloc(keys->count + 1, sizeof(*sorted->keys));
	if (!sorted->keys)
		return error_no_memory(err);
	memcpy(sorted->keys, keys->keys, keys->count * sizeof(*keys->keys));
	sorted->count = keys->count;
	qsort(sorted->keys, sorted->count, sizeof(*sorted->keys), text_compare);
	return 0;
}

/* Puts the folder with the key in its place whole: one without a key would be somebody whom nothing
 * can be encrypted to. */
static int member_make(int store_dirfd, enum vars_member_type type, const char *name,
		       struct span text, struct error *err)
{
	_cleanup_free_ char *temporary = NULL, *parent = NULL;
	_cleanup_close_ int parent_dirfd = -1, dirfd = -1;
	int r;

	if (asprintf(&parent, "sops/%s", store_kind_directory(type)) < 0) {
		parent = NULL;
		return error_no_memory(err);
	}
	parent_dirfd = dir_make(store_dirfd, parent, 0755, err);
	if (parent_dirfd < 0)
		return parent_dirfd;
	dirfd = placing_begin(store_dirfd, name, &temporary, err);
	if (dirfd < 0)
		return dirfd;
	r = file_write_new(dirfd, "key.json", text, 0644, err);
	if (r == 0)
		r = dir_sync(dirfd, name, err);
	if (r == 0)
		r = placing_finish(store_dirfd, temporary, parent_dirfd, name, err);
	if (r == 0)
		return 0;
	placing_abandon(store_dirfd, temporary);
	return error_wrap(err, "making %s/%s", parent, name);
}

static int sorted_keys_write(int store_dirfd, enum vars_member_type type, const char *name,
			     const struct sops_key_group *sorted, bool force, struct error *err)
{
	_cleanup_free_ char *folder = store_member_path(type, name), *text = NULL;
	_cleanup_close_ int dirfd = -1;
	int r = folder ? keys_format(sorted, &text, err) : error_no_memory(err);

	if (r < 0 || !text)
		return r;
	dirfd = beneath_open(store_dirfd, folder, O_RDONLY | O_DIRECTORY);
	if (dirfd < 0 || faccessat(dirfd, "key.json", F_OK, 0) < 0)
		return member_make(store_dirfd, type, name, span_of_text(text), err);
	if (keys_are_registered(store_dirfd, type, name, sorted))
		return 0;
	if (!force) {
		error_set(err, VMCRED_FAILED, "the %s %s has another key in %s/key.json",
			  vars_member_type_name(type), name, folder);
		return error_hint(err, "--force replaces it; what is encrypted to the old key must "
				       "then be encrypted anew");
	}
	return placing_file(store_dirfd, dirfd, "key.json", folder, span_of_text(text), err);
}

int vars_member_keys_write(int store_dirfd, enum vars_member_type type, const char *name,
			   const struct sops_key_group *keys, bool force, struct error *err)
{
	struct sops_key_group sorted = {0};
	int r = store_name_check(vars_member_type_name(type), name, err);

	if (r == 0)
		r = keys_sort(keys, &sorted, err);
	if (r == 0)
		r = sorted_keys_write(store_dirfd, type, name, &sorted, force, err);
	free(sorted.keys);
	return r;
}

int vars_machine_key_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			 struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	int r = vars_key_add(&keys, SOPS_KEY_AGE, public_key, err);

	return r < 0 ? r
		     : vars_member_keys_write(store_dirfd, VARS_MACHINE, machine, &keys, force,
					      err);
}

bool vars_machine_key_is(int store_dirfd, const char *machine, const char *public_key)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	_cleanup_error_ struct error ignored = {0};

	return vars_key_add(&keys, SOPS_KEY_AGE, public_key, &ignored) == 0 &&
	       keys_are_registered(store_dirfd, VARS_MACHINE, machine, &keys);
}
