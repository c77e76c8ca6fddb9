/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys of machines and users, in sops/machines/<name>/key.json and
 * sops/users/<name>/key.json. clan writes one object or a list of them, each with "publickey" and
 * "type".
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/name.h"
#include "vars/placing.h"
#include "vars/store.h"

#define KEY_FILE_SIZE_MAX ((size_t)64 * 1024)

const char *store_kind_folder(enum store_kind kind)
{
	return kind == STORE_MACHINES ? "machines" : kind == STORE_USERS ? "users" : "groups";
}

const char *store_kind_word(enum store_kind kind)
{
	return kind == STORE_MACHINES ? "machine" : kind == STORE_USERS ? "user" : "group";
}

char *store_member_path(enum store_kind kind, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "sops/%s/%s", store_kind_folder(kind), name) < 0)
		return NULL;
	return path;
}

static char *key_path(enum store_kind kind, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "sops/%s/%s/key.json", store_kind_folder(kind), name) < 0)
		return NULL;
	return path;
}

static int key_entry_add(const json_t *entry, struct age_recipients *recipients, struct error *err)
{
	const char *type = json_string_value(json_object_get(entry, "type"));
	const char *key = json_string_value(json_object_get(entry, "publickey"));

	if (!type || !key)
		return error_set(err, VMCRED_FAILED,
				 "an entry does not have the texts \"publickey\" and \"type\"");
	if (strcmp(type, "age") != 0)
		return error_set(err, VMCRED_FAILED, "a key of type \"%s\" is not supported", type);
	return age_recipients_add(recipients, span_of_text(key), err);
}

static int key_text_add(struct span text, const char *path, struct age_recipients *recipients,
			struct error *err)
{
	_cleanup_json_ json_t *keys = NULL;
	int r = json_parse(text, path, &keys, err);

	if (r < 0)
		return r;
	if (!json_is_array(keys)) {
		r = key_entry_add(keys, recipients, err);
		return r < 0 ? error_wrap(err, "%s", path) : 0;
	}
	if (json_array_size(keys) == 0)
		return error_set(err, VMCRED_FAILED, "%s: holds no key", path);
	for (size_t i = 0; i < json_array_size(keys); i++) {
		r = key_entry_add(json_array_get(keys, i), recipients, err);
		if (r < 0)
			return error_wrap(err, "%s", path);
	}
	return 0;
}

int store_key_read(int store_dirfd, enum store_kind kind, const char *name,
		   struct age_recipients *recipients, struct error *err)
{
	_cleanup_free_ char *path = key_path(kind, name), *text = NULL;
	size_t size = 0;
	int r;

	if (!path)
		return error_no_memory(err);
	r = file_read_text(store_dirfd, path, KEY_FILE_SIZE_MAX, &text, &size, err);
	if (r == -(int)VMCRED_MISSING) {
		error_set(err, VMCRED_MISSING, "the %s %s has no key: there is no %s",
			  store_kind_word(kind), name, path);
		if (kind == STORE_USERS)
			return error_hint(err, "`vmcred user add %s --age-key KEY` registers one",
					  name);
		return error_hint(err, "`vmcred keygen --machine %s --output FILE` makes one",
				  name);
	}
	if (r < 0)
		return r;
	return key_text_add(span_of(text, size), path, recipients, err);
}

/* Whether the file holds exactly this key. */
static bool key_is_registered(int store_dirfd, enum store_kind kind, const char *name,
			      const char *public_key)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	_cleanup_error_ struct error ignored = {0};

	return store_key_read(store_dirfd, kind, name, &recipients, &ignored) == 0 &&
	       recipients.count == 1 &&
	       strcmp(age_recipient_text(recipients.items[0]), public_key) == 0;
}

/* A public key has no character that JSON would escape, except an SSH key's comment. */
static int key_format(const char *public_key, char **text, struct error *err)
{
	_cleanup_json_ json_t *keys =
		json_pack("[{s:s, s:s}]", "publickey", public_key, "type", "age");

	/* As clan writes it: no line break at the end. */
	*text = keys ? json_dumps(keys, JSON_INDENT(2)) : NULL;
	return *text ? 0 : error_no_memory(err);
}

/* Puts the folder with the key in its place whole: one without a key would be somebody whom nothing
 * can be encrypted to. */
static int member_make(int store_dirfd, enum store_kind kind, const char *name, struct span text,
		       struct error *err)
{
	_cleanup_free_ char *temporary = NULL, *parent = NULL;
	_cleanup_close_ int parent_dirfd = -1, dirfd = -1;
	int r;

	if (asprintf(&parent, "sops/%s", store_kind_folder(kind)) < 0) {
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
	if (r < 0)
		placing_abandon(store_dirfd, temporary);
	return r;
}

int store_key_write(int store_dirfd, enum store_kind kind, const char *name, const char *public_key,
		    bool force, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients checked = {0};
	_cleanup_free_ char *folder = store_member_path(kind, name), *text = NULL;
	_cleanup_close_ int dirfd = -1;
	int r = store_name_check(store_kind_word(kind), name, err);

	if (r == 0)
		r = age_recipients_add(&checked, span_of_text(public_key), err);
	if (r == 0)
		r = folder ? key_format(public_key, &text, err) : error_no_memory(err);
	if (r < 0 || !text)
		return r;
	dirfd = openat(store_dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || faccessat(dirfd, "key.json", F_OK, 0) < 0)
		return member_make(store_dirfd, kind, name, span_of_text(text), err);
	if (key_is_registered(store_dirfd, kind, name, public_key))
		return 0;
	if (!force) {
		error_set(err, VMCRED_FAILED, "the %s %s has another key in %s/key.json",
			  store_kind_word(kind), name, folder);
		return error_hint(err, "--force replaces it; what is encrypted to the old key must "
				       "then be encrypted anew");
	}
	return placing_file(store_dirfd, dirfd, "key.json", span_of_text(text), err);
}

int vars_store_machine_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			   struct error *err)
{
	return store_key_write(store_dirfd, STORE_MACHINES, machine, public_key, force, err);
}

bool vars_store_machine_has(int store_dirfd, const char *machine, const char *public_key)
{
	return key_is_registered(store_dirfd, STORE_MACHINES, machine, public_key);
}
