/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of the links outside the generations, so that a link is removed together with its
 * secret. It is a JSON object, with the target of each link, next to the generations, and
 * disappears with them at a reboot.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "activate/manifest/model.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/trusted/trusted.h"

#define RECORD_NAME     ".links"
#define RECORD_SIZE_MAX ((size_t)64 * 1024 * 1024)

/* Reads the record; it is empty if it does not exist. */
static int record_read(int dirfd, json_t **record, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_error_ struct error reason = {0};
	size_t size = 0;
	int r = file_read_text(dirfd, RECORD_NAME, RECORD_SIZE_MAX, &text, &size, &reason);

	if (r < 0 && r != -(int)VMCRED_MISSING) {
		error_move(err, &reason);
		return error_wrap(err, "reading the record of links");
	}
	if (r == 0)
		(void)json_parse(span_of(text, size), RECORD_NAME, record, &reason);
	/* Another program wrote something else. */
	if (!json_is_object(*record)) {
		json_decref(*record);
		*record = json_object();
	}
	return *record ? 0 : error_no_memory(err);
}

static int record_write(int dirfd, const json_t *record, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = json_append_value(&text, record, JSON_INDENT(1) | JSON_SORT_KEYS, err);

	if (r == 0)
		r = file_replace(dirfd, RECORD_NAME, secret_span(&text), 0600, err);
	return r < 0 ? error_wrap(err, "writing the record of links") : 0;
}

/* The record of the manifest's links. NULL without memory. */
static json_t *record_make(const struct manifest *manifest)
{
	json_t *record = json_object();

	for (size_t i = 0; record && i < manifest->item_count; i++) {
		const struct manifest_item *item = &manifest->items[i];
		_cleanup_free_ char *target = manifest_target(manifest, item);

		if (manifest_is_below(item->path, manifest->link_path))
			continue;
		if (!target || json_object_set_new(record, item->path, json_string(target)) < 0) {
			json_decref(record);
			return NULL;
		}
	}
	return record;
}

int manifest_record_add(const struct manifest *manifest, int dirfd, struct error *err)
{
	_cleanup_json_ json_t *old = NULL, *more = record_make(manifest), *record = NULL;
	int r = dir_remove_temporaries(dirfd, RECORD_NAME, false, err);

	if (r == 0)
		r = record_read(dirfd, &old, err);
	if (r < 0)
		return r;
	record = json_copy(old);
	if (!record || !more || json_object_update(record, more) < 0)
		return error_no_memory(err);
	return json_equal(record, old) ? 0 : record_write(dirfd, record, err);
}

/* Removes a link if it still has its target. A link that another user moved is theirs. */
static int link_remove(const char *path, const char *target, struct error *err)
{
	_cleanup_error_ struct error reason = {0};
	_cleanup_close_ int dirfd = -1, fd = -1;
	bool is_foreign = false;
	const char *name = NULL;

	if (!target)
		return 0;
	dirfd = trusted_parent_open(path, 0, &name, &is_foreign, &reason);
	if (dirfd < 0)
		return is_foreign || reason.code == VMCRED_MISSING ? 0 : error_move(err, &reason);
	fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "reading the link %s", path);
	if (fd < 0 || !manifest_link_leads_to(fd, target))
		return 0;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "removing the link %s", path);
	return 0;
}

int manifest_record_prune(const struct manifest *manifest, int dirfd, struct error *err)
{
	_cleanup_json_ json_t *old = NULL, *record = record_make(manifest);
	const char *path;
	json_t *target;
	int r = record_read(dirfd, &old, err);

	if (r < 0)
		return r;
	if (!record)
		return error_no_memory(err);
	if (json_equal(old, record))
		return 0;
	json_object_foreach(old, path, target)
	{
		if (r == 0 && !json_object_get(record, path))
			r = link_remove(path, json_string_value(target), err);
	}
	return r < 0 ? r : record_write(dirfd, record, err);
}
