/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's public key in sops/machines/<machine>/key.json. clan writes one object or a list of
 * them, each with "publickey" and "type".
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/name.h"
#include "vars/vars.h"

#define KEY_FILE_SIZE_MAX ((size_t)64 * 1024)

static char *key_path(const char *machine)
{
	char *path = NULL;

	if (asprintf(&path, "sops/machines/%s/key.json", machine) < 0)
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

int vars_store_machine_recipient(int store_dirfd, const char *machine,
				 struct age_recipients *recipients, struct error *err)
{
	_cleanup_free_ char *path = key_path(machine), *text = NULL;
	size_t size = 0;
	int r;

	if (!path)
		return error_no_memory(err);
	r = file_read_text(store_dirfd, path, KEY_FILE_SIZE_MAX, &text, &size, err);
	if (r == -(int)VMCRED_MISSING) {
		error_set(err, VMCRED_MISSING, "the machine %s has no key: there is no %s", machine,
			  path);
		return error_hint(err, "`vmcred keygen --machine %s --output FILE` makes one",
				  machine);
	}
	if (r < 0)
		return r;
	return key_text_add(span_of(text, size), path, recipients, err);
}

/* Whether the file holds exactly this key. */
static bool key_is_registered(int store_dirfd, const char *machine, const char *public_key)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	_cleanup_error_ struct error ignored = {0};

	return vars_store_machine_recipient(store_dirfd, machine, &recipients, &ignored) == 0 &&
	       recipients.count == 1 &&
	       strcmp(age_recipient_text(recipients.items[0]), public_key) == 0;
}

int vars_store_machine_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			   struct error *err)
{
	_cleanup_free_ char *folder = NULL, *text = NULL;
	_cleanup_close_ int dirfd = -1;
	int r = store_name_check("machine", machine, err);

	if (r < 0)
		return r;
	if (asprintf(&folder, "sops/machines/%s", machine) < 0)
		folder = NULL;
	if (asprintf(&text, "[\n  {\n    \"publickey\": \"%s\",\n    \"type\": \"age\"\n  }\n]\n",
		     public_key) < 0)
		text = NULL;
	if (!folder || !text)
		return error_no_memory(err);
	dirfd = dir_make(store_dirfd, folder, 0755, err);
	if (dirfd < 0)
		return dirfd;
	if (faccessat(dirfd, "key.json", F_OK, 0) == 0) {
		if (key_is_registered(store_dirfd, machine, public_key))
			return 0;
		if (!force) {
			error_set(err, VMCRED_FAILED,
				  "the machine %s has another key in %s/key.json", machine, folder);
			return error_hint(err,
					  "--force replaces it; what is encrypted to the old key "
					  "must then be encrypted anew");
		}
	}
	return file_replace(dirfd, "key.json", span_of_text(text), 0644, err);
}
