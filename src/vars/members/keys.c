/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys: key.json of a machine or user. clan writes one object or a list of them, each with
 * "publickey" (an age recipient or a PGP fingerprint) and "type".
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "base/name.h"
#include "vars/members/members.h"
#include "vars/store/store.h"

#define KEY_FILE_SIZE_MAX ((size_t)64 * 1024)

#define FINGERPRINT_SIZE 40 /* of a version 4 key: RFC 4880, section 12.2 */

int vars_key_add(struct sops_key_group *keys, enum sops_key_type type, const char *text,
		 struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients checked = {0};
	int r = sops_key_group_add(keys, type, span_of_text(text), err);

	if (r < 0)
		return r;
	if (type != SOPS_KEY_PGP)
		return age_recipients_add(&checked, span_of_text(text), err);
	text = keys->keys[keys->count - 1].text; /* without spaces */
	if (strlen(text) == FINGERPRINT_SIZE &&
	    strspn(text, "0123456789abcdefABCDEF") == FINGERPRINT_SIZE)
		return 0;
	error_set(err, VMCRED_USAGE,
		  "\"%s\" is not a PGP fingerprint, which has %d hexadecimal digits", text,
		  FINGERPRINT_SIZE);
	return error_hint(err, "`gpg --list-keys` shows it");
}

static int key_object_add(const json_t *object, struct sops_key_group *keys, struct error *err)
{
	const char *type = json_string_value(json_object_get(object, "type"));
	const char *key = json_string_value(json_object_get(object, "publickey"));

	if (!type || !key)
		return error_set(err, VMCRED_FAILED, "missing string \"publickey\" or \"type\"");
	/* clan accepts any case. */
	if (strcasecmp(type, sops_key_type_name(SOPS_KEY_AGE)) == 0)
		return vars_key_add(keys, SOPS_KEY_AGE, key, err);
	if (strcasecmp(type, sops_key_type_name(SOPS_KEY_PGP)) == 0)
		return vars_key_add(keys, SOPS_KEY_PGP, key, err);
	return error_set(err, VMCRED_FAILED, "unsupported key type \"%s\"", type);
}

int member_no_key(enum vars_member_type type, const char *name, struct error *err)
{
	if (type == VARS_GROUP) {
		error_set(err, VMCRED_MISSING, "no group %s", name);
		return error_hint(err, "`vmcred group add %s --user NAME` creates it", name);
	}
	error_set(err, VMCRED_MISSING, "the %s %s has no key: sops/%s/%s/key.json does not exist",
		  vars_member_type_name(type), name, members_directory(type), name);
	if (type == VARS_USER)
		return error_hint(err, "`vmcred user add %s --age-key KEY` registers one", name);
	return error_hint(err, "`vmcred machine add %s` creates one", name);
}

int member_keys_parse(struct span text, const char *path, struct sops_key_group *keys,
		      struct error *err)
{
	_cleanup_json_ json_t *value = NULL;
	int r = json_parse(text, path, &value, err);

	if (r < 0)
		return r;
	if (json_is_array(value) && json_array_size(value) == 0)
		return error_set(err, VMCRED_FAILED, "%s: no keys", path);
	for (size_t i = 0; r == 0 && i < json_array_size(value); i++)
		r = key_object_add(json_array_get(value, i), keys, err);
	if (!json_is_array(value))
		r = key_object_add(value, keys, err);
	return r < 0 ? error_wrap(err, "%s", path) : 0;
}

int member_keys_read(int store_dirfd, enum vars_member_type type, const char *name,
		     struct sops_key_group *keys, struct error *err)
{
	_cleanup_free_ char *path =
		text_format("sops/%s/%s/key.json", members_directory(type), name);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r = path ? file_read_text(store_dirfd, path, KEY_FILE_SIZE_MAX, &text, &size, err)
		     : error_no_memory(err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return member_no_key(type, name, err);
	}
	return r < 0 ? r : member_keys_parse(span_of(text, size), path, keys, err);
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(((const struct sops_key *)a)->text, ((const struct sops_key *)b)->text);
}

/* Whether the file holds exactly these keys, in any order. */
static bool keys_are_registered(int store_dirfd, enum vars_member_type type, const char *name,
				const struct sops_key_group *sorted)
{
	_cleanup_sops_key_group_ struct sops_key_group stored = {0};
	_cleanup_error_ struct error ignored = {0};

	if (member_keys_read(store_dirfd, type, name, &stored, &ignored) < 0 ||
	    stored.count != sorted->count || !stored.keys)
		return false;
	qsort(stored.keys, stored.count, sizeof(*stored.keys), text_compare);
	for (size_t i = 0; i < stored.count; i++) {
		if (sops_key_compare(&stored.keys[i], &sorted->keys[i]) != 0)
			return false;
	}
	return true;
}

/* As clan writes it: a list, even of one key, without a newline at the end. */
static int keys_format(const struct sops_key_group *sorted, char **text, struct error *err)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; list && i < sorted->count; i++) {
		json_t *object = json_pack("{s:s, s:s}", "publickey", sorted->keys[i].text, "type",
					   sops_key_type_name(sorted->keys[i].type));

		if (json_array_append_new(list, object) < 0)
			return error_no_memory(err);
	}
	*text = list ? json_dumps(list, JSON_INDENT(2)) : NULL;
	return *text ? 0 : error_no_memory(err);
}

/* The directory appears together with its key: without one nothing could be encrypted to it. */
static int member_create(int store_dirfd, enum vars_member_type type, const char *name,
			 struct span text, struct error *err)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_free_ char *parent = text_format("sops/%s", members_directory(type));
	_cleanup_close_ int parent_dirfd = -1, dirfd = -1;
	int r;

	if (!parent)
		return error_no_memory(err);
	parent_dirfd = dir_make(store_dirfd, parent, 0755, err);
	if (parent_dirfd < 0)
		return parent_dirfd;
	dirfd = store_directory_begin(store_dirfd, name, &temporary, err);
	if (dirfd < 0)
		return dirfd;
	r = file_write_new(dirfd, "key.json", text, 0644, err);
	if (r == 0)
		r = dir_sync(dirfd, name, err);
	if (r == 0)
		r = store_directory_commit(store_dirfd, temporary, parent_dirfd, name, err);
	if (r == 0)
		return 0;
	store_directory_discard(store_dirfd, temporary);
	return error_wrap(err, "creating %s/%s", parent, name);
}

/* Sorted as clan sorts them. The list is the caller's, the keys are borrowed. */
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

static int sorted_keys_check(int store_dirfd, enum vars_member_type type, const char *name,
			     const struct sops_key_group *sorted, bool force, struct error *err)
{
	_cleanup_free_ char *path =
		text_format("sops/%s/%s/key.json", members_directory(type), name);
	int r = store_name_check(vars_member_type_name(type), name, err);

	if (r < 0)
		return r;
	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, 0) < 0)
		return 1;
	if (keys_are_registered(store_dirfd, type, name, sorted))
		return 0;
	if (force)
		return 1;
	error_set(err, VMCRED_FAILED, "the %s %s has a different key in %s",
		  vars_member_type_name(type), name, path);
	return error_hint(err, "--force replaces it; secrets encrypted to the old key must then be "
			       "encrypted again");
}

int vars_member_keys_check(int store_dirfd, enum vars_member_type type, const char *name,
			   const struct sops_key_group *keys, bool force, struct error *err)
{
	struct sops_key_group sorted = {0};
	int r = keys_sort(keys, &sorted, err);

	if (r == 0)
		r = sorted_keys_check(store_dirfd, type, name, &sorted, force, err);
	free(sorted.keys);
	return r;
}

static int sorted_keys_write(int store_dirfd, enum vars_member_type type, const char *name,
			     const struct sops_key_group *sorted, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *directory = text_format("sops/%s/%s", members_directory(type), name);
	_cleanup_close_ int dirfd = -1;
	int r = directory ? keys_format(sorted, &text, err) : error_no_memory(err);

	if (r < 0 || !text)
		return r;
	dirfd = beneath_open(store_dirfd, directory, O_RDONLY | O_DIRECTORY);
	if (dirfd < 0 || faccessat(dirfd, "key.json", F_OK, 0) < 0)
		return member_create(store_dirfd, type, name, span_of_text(text), err);
	return store_file_replace(store_dirfd, dirfd, "key.json", directory, span_of_text(text),
				  err);
}

int vars_member_keys_write(int store_dirfd, enum vars_member_type type, const char *name,
			   const struct sops_key_group *keys, bool force, struct error *err)
{
	struct sops_key_group sorted = {0};
	int r = keys_sort(keys, &sorted, err);

	if (r == 0)
		r = sorted_keys_check(store_dirfd, type, name, &sorted, force, err);
	if (r > 0)
		r = sorted_keys_write(store_dirfd, type, name, &sorted, err);
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

int vars_machine_has_key(int store_dirfd, const char *machine, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	int r = store_name_check("machine", machine, err);

	if (r == 0)
		r = member_keys_read(store_dirfd, VARS_MACHINE, machine, &keys, err);
	if (r != -(int)VMCRED_MISSING)
		return r < 0 ? r : 1;
	error_clear(err);
	return 0;
}
