/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a manifest, one by one. */
#include "activate/manifest/manifest.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"

#define TEMPLATE_SIZE_MAX ((size_t)16 * 1024 * 1024)
#define MODE_MAX          0777

/* The member, or NULL where it is not there or null, which Go takes for the same. */
static const json_t *member(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return json_is_null(value) ? NULL : value;
}

int manifest_text(const json_t *object, const char *name, const char *fallback, const char **text,
		  struct error *err)
{
	const json_t *value = member(object, name);

	*text = json_is_string(value) ? json_string_value(value) : fallback;
	if (value && !json_is_string(value))
		return error_set(err, VMCRED_FAILED, "%s is no text", name);
	return 0;
}

int manifest_number(const json_t *object, const char *name, long max, long *number,
		    struct error *err)
{
	const json_t *value = member(object, name);

	if (value && (!json_is_integer(value) || json_integer_value(value) < 0 ||
		      json_integer_value(value) > max))
		return error_set(err, VMCRED_FAILED, "%s is no number from 0 to %ld", name, max);
	*number = value ? (long)json_integer_value(value) : 0;
	return 0;
}

int manifest_flag(const json_t *object, const char *name, bool *flag, struct error *err)
{
	const json_t *value = member(object, name);

	if (value && !json_is_boolean(value))
		return error_set(err, VMCRED_FAILED, "%s is neither true nor false", name);
	*flag = json_is_true(value);
	return 0;
}

int manifest_texts(const json_t *object, const char *name, const json_t **texts, struct error *err)
{
	const json_t *value = member(object, name);

	if (value && !json_is_array(value))
		return error_set(err, VMCRED_FAILED, "%s is no list", name);
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (!json_is_string(json_array_get(value, i)))
			return error_set(err, VMCRED_FAILED, "%s holds something else than text",
					 name);
	}
	*texts = value;
	return 0;
}

/* `path` with %r and %% replaced, in new memory; NULL without. */
static char *runtime_path(const char *path, const char *runtime_dir)
{
	size_t insert = runtime_dir ? strlen(runtime_dir) : 0, size = strlen(path) + 1, used = 0;
	char *out;

	for (const char *at = strstr(path, "%r"); at; at = strstr(at + 2, "%r"))
		size += insert;
	out = malloc(size);
	if (!out)
		return NULL;
	while (*path) {
		bool is_folder = path[0] == '%' && path[1] == 'r';

		if (is_folder && insert > 0)
			memcpy(out + used, runtime_dir, insert);
		else if (!is_folder)
			out[used] = *path;
		used += is_folder ? insert : 1;
		path += is_folder || (path[0] == '%' && path[1] == '%') ? 2 : 1;
	}
	out[used] = '\0';
	return out;
}

char *manifest_place(const struct manifest *manifest, const char *path,
		     const struct manifest_options *options)
{
	_cleanup_free_ char *whole =
		manifest->user_mode ? runtime_path(path, options->runtime_dir) : strdup(path);

	return whole && *whole == '/' ? path_absolute(whole) : pointer_release(&whole);
}

/* Whether a name stays below its generation: relative, with no part that is empty, "." or "..". */
static bool name_is_safe(const char *name)
{
	while (true) {
		size_t size = strcspn(name, "/");

		if (size == 0 || (size == 1 && name[0] == '.') ||
		    (size == 2 && name[0] == '.' && name[1] == '.'))
			return false;
		if (name[size] == '\0')
			return true;
		name += size + 1;
	}
}

static int mode_read(const json_t *object, mode_t *mode, struct error *err)
{
	const char *text = NULL;
	char *end = NULL;
	unsigned long value;
	int r = manifest_text(object, "mode", "", &text, err);

	if (r < 0)
		return r;
	errno = 0;
	value = strtoul(text, &end, 8);
	if (*text < '0' || *text > '7' || *end != '\0' || errno != 0 || value > MODE_MAX)
		return error_set(err, VMCRED_FAILED, "mode \"%s\" is no octal number up to %o",
				 text, MODE_MAX);
	*mode = (mode_t)value;
	return 0;
}

static int owner_look_up(const char *name, uid_t *uid, struct error *err)
{
	const struct passwd *user = getpwnam(name);

	if (!user)
		return error_set(err, VMCRED_MISSING, "there is no user \"%s\" to own it", name);
	*uid = user->pw_uid;
	return 0;
}

static int group_look_up(const char *name, gid_t *gid, struct error *err)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return error_set(err, VMCRED_MISSING, "there is no group \"%s\" for it", name);
	*gid = group->gr_gid;
	return 0;
}

/* Names go before numbers. In user mode all is the user's own. */
static int owner_read(const struct manifest *manifest, const json_t *object,
		      const struct manifest_options *options, struct manifest_item *item,
		      struct error *err)
{
	const char *owner = NULL, *group = NULL;
	long uid = 0, gid = 0;
	int r = manifest_text(object, "owner", NULL, &owner, err);

	if (r == 0)
		r = manifest_text(object, "group", NULL, &group, err);
	if (r == 0)
		r = manifest_number(object, "uid", UINT32_MAX - 1L, &uid, err);
	if (r == 0)
		r = manifest_number(object, "gid", UINT32_MAX - 1L, &gid, err);
	item->uid = manifest->user_mode ? geteuid() : 0;
	item->gid = manifest->user_mode ? getegid() : 0;
	if (r < 0 || manifest->user_mode || options->ignore_passwd || options->dry ||
	    options->check != MANIFEST_INSTALL)
		return r;
	item->uid = (uid_t)uid;
	item->gid = (gid_t)gid;
	if (owner)
		r = owner_look_up(owner, &item->uid, err);
	if (r == 0 && group)
		r = group_look_up(group, &item->gid, err);
	return r;
}

static int template_text_read(const json_t *object, struct manifest_item *item, struct error *err)
{
	const char *content = "", *file = "";
	int r = manifest_text(object, "content", "", &content, err);

	if (r == 0)
		r = manifest_text(object, "file", "", &file, err);
	if (r < 0)
		return r;
	if (*content)
		return secret_append_text(&item->text, content, err);
	if (!*file)
		return error_set(err, VMCRED_FAILED, "it has neither content nor file");
	return file_read_secret(AT_FDCWD, file, TEMPLATE_SIZE_MAX, &item->text, err);
}

static int path_read(const struct manifest *manifest, const json_t *object,
		     const struct manifest_options *options, struct manifest_item *item,
		     struct error *err)
{
	const char *path = NULL;
	int r = manifest_text(object, "path", "", &path, err);

	if (r < 0)
		return r;
	item->path = manifest_place(manifest, path, options);
	if (!item->path)
		return error_no_memory(err);
	if (options->check == MANIFEST_INSTALL && item->path[0] != '/')
		return error_set(err, VMCRED_FAILED, "its path \"%s\" is not absolute", item->path);
	return 0;
}

int manifest_item_read(const struct manifest *manifest, const json_t *object, bool is_template,
		       const struct manifest_options *options, struct manifest_item *item,
		       struct error *err)
{
	const char *kind = is_template ? "template" : "secret";
	int r;

	if (!json_is_object(object))
		return error_set(err, VMCRED_FAILED, "a %s is no object", kind);
	r = manifest_text(object, "name", "", &item->name, err);
	if (r == 0 && !name_is_safe(item->name))
		r = error_set(err, VMCRED_FAILED, "its name is no path below a folder");
	if (r == 0)
		r = mode_read(object, &item->mode, err);
	if (r == 0)
		r = path_read(manifest, object, options, item, err);
	if (r == 0)
		r = owner_read(manifest, object, options, item, err);
	if (r == 0)
		r = manifest_texts(object, "restartUnits", &item->restart_units, err);
	if (r == 0)
		r = manifest_texts(object, "reloadUnits", &item->reload_units, err);
	if (r == 0)
		r = manifest_text(object, "key", "", &item->key, err);
	if (r == 0 && is_template)
		r = template_text_read(object, item, err);
	if (r < 0)
		return error_wrap(err, "%s %s", kind, item->name ? item->name : "?");
	return 0;
}
