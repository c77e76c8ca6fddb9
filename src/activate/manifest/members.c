/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a manifest and its items, and the types of their values. */
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "activate/manifest/model.h"

/* A member of a JSON object, and where its value is stored: */
enum member_type {
	MEMBER_TEXT,          /* const char *; "" without a value */
	MEMBER_OPTIONAL_TEXT, /* const char *; NULL without a value */
	MEMBER_LIST,          /* const json_t *; NULL without a value */
	MEMBER_TEXTS,         /* likewise, a list of strings */
	MEMBER_NUMBER,        /* long; 0 without a value */
	MEMBER_FLAG,          /* bool; false without a value */
};

struct member {
	const char *name;
	enum member_type type;
	size_t offset;
	long max; /* of a number */
};

#define MANIFEST_MEMBER(name, type, field)                            \
	{                                                             \
		name, type, offsetof(struct manifest, field), INT_MAX \
	}
#define ITEM_MEMBER(name, type, field)                                             \
	{                                                                          \
		name, type, offsetof(struct manifest_item, field), UINT32_MAX - 1L \
	}

static const struct member manifest_members[] = {
	MANIFEST_MEMBER("userMode", MEMBER_FLAG, user_mode),
	MANIFEST_MEMBER("secretsMountPoint", MEMBER_TEXT, given_mount_point),
	MANIFEST_MEMBER("symlinkPath", MEMBER_TEXT, given_link_path),
	MANIFEST_MEMBER("keepGenerations", MEMBER_NUMBER, keep_generations),
	MANIFEST_MEMBER("useTmpfs", MEMBER_FLAG, use_tmpfs),
	MANIFEST_MEMBER("gnupgHome", MEMBER_TEXT, gnupg_home),
	MANIFEST_MEMBER("ageKeyFile", MEMBER_TEXT, age_key_file),
	MANIFEST_MEMBER("ageSshKeyPaths", MEMBER_TEXTS, age_ssh_keys),
	MANIFEST_MEMBER("sshKeyPaths", MEMBER_TEXTS, ssh_keys),
	MANIFEST_MEMBER("secrets", MEMBER_LIST, secrets),
	MANIFEST_MEMBER("templates", MEMBER_LIST, templates),
	{0},
};

static const struct member logging_members[] = {
	MANIFEST_MEMBER("keyImport", MEMBER_FLAG, log_keys),
	MANIFEST_MEMBER("secretChanges", MEMBER_FLAG, log_changes),
	{0},
};

static const struct member item_members[] = {
	ITEM_MEMBER("name", MEMBER_TEXT, name),
	ITEM_MEMBER("mode", MEMBER_TEXT, given_mode),
	ITEM_MEMBER("path", MEMBER_TEXT, given_path),
	ITEM_MEMBER("owner", MEMBER_OPTIONAL_TEXT, owner),
	ITEM_MEMBER("group", MEMBER_OPTIONAL_TEXT, group),
	ITEM_MEMBER("uid", MEMBER_NUMBER, given_uid),
	ITEM_MEMBER("gid", MEMBER_NUMBER, given_gid),
	ITEM_MEMBER("restartUnits", MEMBER_TEXTS, restart_units),
	ITEM_MEMBER("reloadUnits", MEMBER_TEXTS, reload_units),
	ITEM_MEMBER("key", MEMBER_TEXT, key),
	{0},
};

static const struct member secret_members[] = {
	ITEM_MEMBER("format", MEMBER_TEXT, format),
	ITEM_MEMBER("sopsFile", MEMBER_TEXT, sops_file),
	{0},
};

static const struct member template_members[] = {
	ITEM_MEMBER("content", MEMBER_TEXT, content),
	ITEM_MEMBER("file", MEMBER_TEXT, file),
	{0},
};

static int member_read(const struct member *member, const json_t *value, void *out,
		       struct error *err)
{
	switch (member->type) {
	case MEMBER_TEXT:
	case MEMBER_OPTIONAL_TEXT:
		if (value && !json_is_string(value))
			return error_set(err, VMCRED_FAILED, "%s must be a string", member->name);
		*(const char **)out = value                         ? json_string_value(value)
				      : member->type == MEMBER_TEXT ? ""
								    : NULL;
		return 0;
	case MEMBER_NUMBER:
		if (value && (!json_is_integer(value) || json_integer_value(value) < 0 ||
			      json_integer_value(value) > member->max))
			return error_set(err, VMCRED_FAILED, "%s must be a number from 0 to %ld",
					 member->name, member->max);
		*(long *)out = (long)json_integer_value(value);
		return 0;
	case MEMBER_FLAG:
		if (value && !json_is_boolean(value))
			return error_set(err, VMCRED_FAILED, "%s must be true or false",
					 member->name);
		*(bool *)out = json_is_true(value);
		return 0;
	case MEMBER_LIST:
	case MEMBER_TEXTS:
		break;
	}
	if (value && !json_is_array(value))
		return error_set(err, VMCRED_FAILED, "%s must be a list", member->name);
	for (size_t i = 0; member->type == MEMBER_TEXTS && i < json_array_size(value); i++) {
		if (!json_is_string(json_array_get(value, i)))
			return error_set(err, VMCRED_FAILED, "%s must be a list of strings",
					 member->name);
	}
	*(const json_t **)out = value;
	return 0;
}

/* null is the same as a missing member, as in Go. */
static int members_read(const json_t *object, const struct member *members, void *out,
			struct error *err)
{
	int r = 0;

	for (; r == 0 && members->name; members++) {
		const json_t *value = json_object_get(object, members->name);

		r = member_read(members, json_is_null(value) ? NULL : value,
				(char *)out + members->offset, err);
	}
	return r;
}

int manifest_members_read(struct manifest *manifest, struct error *err)
{
	int r = members_read(manifest->root, manifest_members, manifest, err);

	return r < 0 ? r
		     : members_read(json_object_get(manifest->root, "logging"), logging_members,
				    manifest, err);
}

int manifest_item_members_read(const json_t *object, bool is_secret, struct manifest_item *item,
			       struct error *err)
{
	int r = members_read(object, item_members, item, err);

	return r < 0 ? r
		     : members_read(object, is_secret ? secret_members : template_members, item,
				    err);
}
