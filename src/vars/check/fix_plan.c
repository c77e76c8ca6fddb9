/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vars/check/fixing.h"

/* How many secrets an error names. */
#define NAMES_MAX ((size_t)3)

void change_destroy(struct change *change)
{
	free(change->detail);
	stored_secret_destroy(&change->stored);
	free(change->document);
	error_clear(&change->err);
	*change = (struct change){.stored = STORED_SECRET_NONE};
}

/* Whether all of the registered keys are still registered after the change. */
static bool keys_remain(const struct sops_key_group *before, const struct sops_key_group *after)
{
	for (size_t i = 0; i < before->count; i++) {
		size_t j = 0;

		while (j < after->count && sops_key_compare(&before->keys[i], &after->keys[j]) != 0)
			j++;
		if (j == after->count)
			return false;
	}
	return true;
}

/* The groups on the disk that the member is in. */
static int groups_find(struct fixing *fixing, const struct vars_member_change *change,
		       struct error *err)
{
	_cleanup_strings_ struct strings groups = {0};
	int r = 0;

	if (change->group)
		return strings_add(&fixing->lost_groups, change->group, err);
	r = vars_members_list(fixing->store_dirfd, VARS_GROUP, &groups, err);
	for (size_t i = 0; r == 0 && i < groups.count; i++) {
		_cleanup_error_ struct error ignored = {0};

		if (vars_group_member_check(fixing->store_dirfd, groups.items[i], change->type,
					    change->name, &ignored) == 0)
			r = strings_add(&fixing->lost_groups, groups.items[i], err);
	}
	return r;
}

int removal_find(struct fixing *fixing, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < fixing->options->member_count; i++) {
		const struct vars_member_change *change = &fixing->options->members[i];
		_cleanup_sops_key_group_ struct sops_key_group before = {0};
		_cleanup_error_ struct error unknown = {0};

		if (change->removed)
			r = groups_find(fixing, change, err);
		fixing->removes |= change->removed;
		if (change->group)
			continue;
		if (member_keys_read(fixing->store_dirfd, change->type, change->name, &before,
				     &unknown) < 0) {
			fixing->has_unknown |= change->removed;
			continue;
		}
		if (!change->removed && keys_remain(&before, change->keys))
			continue;
		fixing->removes = true;
		for (size_t j = 0; r == 0 && j < before.count; j++)
			r = sops_key_group_add(&fixing->lost_keys, before.keys[j].type,
					       span_of_text(before.keys[j].text), err);
	}
	return r;
}

int secret_load(const struct fixing *fixing, const struct vars_location *location,
		struct stored_secret *stored, struct error *err)
{
	int r = stored_secret_open(fixing->store_dirfd, location, false, stored, err);

	return r < 0 ? r : stored_secret_read(stored, err);
}

/* Whether the secret has a link to a removed member, or to a group that it is in. */
static bool is_linked(const struct fixing *fixing, const struct stored_secret *stored)
{
	for (size_t i = 0; i < fixing->lost_groups.count; i++) {
		if (readers_include(&stored->actual, VARS_GROUP, fixing->lost_groups.items[i]))
			return true;
	}
	for (size_t i = 0; i < fixing->options->member_count; i++) {
		const struct vars_member_change *change = &fixing->options->members[i];

		if (change->removed && !change->group &&
		    readers_include(&stored->actual, change->type, change->name))
			return true;
	}
	return false;
}

static bool has_lost_key(const struct fixing *fixing, const struct stored_secret *stored)
{
	const struct sops_policy *policy = sops_document_policy(stored->document);

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			for (size_t k = 0; k < fixing->lost_keys.count; k++) {
				if (sops_key_compare(&policy->groups[i].keys[j],
						     &fixing->lost_keys.keys[k]) == 0)
					return true;
			}
		}
	}
	return false;
}

/* Whether a user reads the secret: 1, 0, or a negative code. */
static int has_user(struct member_cache *cache, const struct readers *readers, bool before,
		    struct error *err)
{
	const struct strings *groups = &readers->names[VARS_GROUP];
	int r = readers->names[VARS_USER].count > 0;

	for (size_t i = 0; r == 0 && i < groups->count; i++)
		r = member_cache_has_user(cache, groups->items[i], before, err);
	return r;
}

/* A secret that users read must not become one that only machines read, or nobody. */
static int readers_check(const struct fixing *fixing, const struct stored_secret *stored,
			 struct change *change, struct error *err)
{
	int had = has_user(fixing->cache, &stored->actual, true, err);
	int has = had > 0 ? has_user(fixing->cache, &stored->correct, false, err) : 1;

	if (had < 0 || has < 0)
		return had < 0 ? had : has;
	if (has > 0 && stored->keys.count > 0)
		return 0;
	change->is_lost = true;
	error_set(err, VMCRED_FAILED, "%s: no %s could read it", stored->path,
		  stored->keys.count > 0 ? "user" : "recipient");
	return error_hint(err, "give it another reader first: `vmcred user add` or `vmcred group "
			       "add`");
}

static int bind_plan(struct change *change, struct error *err)
{
	char *both = text_format("%s%sbound to its name", change->detail ? change->detail : "",
				 change->detail ? "; " : "");

	change->only_bind = !change->detail;
	free(change->detail);
	change->detail = both;
	change->bind = true;
	return both ? 0 : error_no_memory(err);
}

static int secret_plan(const struct fixing *fixing, const struct vars_location *location,
		       struct change *change, struct error *err)
{
	struct stored_secret *stored = &change->stored;
	int r = secret_load(fixing, location, stored, err);
	bool linked;

	/* `generate` creates a missing one. */
	if (r == -(int)VMCRED_MISSING && !stored->document) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = stored_secret_find_readers(fixing->config, fixing->cache, location, NULL,
					       stored, err);
	if (r < 0)
		return r;
	linked = is_linked(fixing, stored);
	if (fixing->removes && !linked && !fixing->has_unknown && !has_lost_key(fixing, stored))
		return 0;
	r = stored_secret_compare(stored, fixing->cache, &change->detail, err);
	if (r == 0 && fixing->options->bind && !sops_binary_has_name(stored->document))
		r = bind_plan(change, err);
	if (r < 0 || !change->detail)
		return r;
	change->is_linked = linked;
	change->what = change->bind || stored->added.count + stored->removed.count > 0
			       ? CHANGE_DOCUMENT
			       : CHANGE_LINKS;
	change->has_pgp = stored_secret_has_pgp(stored);
	r = readers_check(fixing, stored, change, err);
	if (r < 0)
		return r;
	return readers_gpg_check(&stored->correct, fixing->cache, err) < 0
		       ? error_wrap(err, "%s", stored->path)
		       : 0;
}

/* The private key of a machine that is removed, or gets a new one. */
static bool is_replaced(const struct fixing *fixing, const struct vars_location *location)
{
	for (size_t i = 0; i < fixing->options->member_count; i++) {
		const struct vars_member_change *change = &fixing->options->members[i];

		if (!location->generator && location->machine && change->type == VARS_MACHINE &&
		    !change->group && (change->removed || change->is_new_key) &&
		    strcmp(change->name, location->machine) == 0)
			return true;
	}
	return false;
}

void file_plan(void *context, size_t index)
{
	const struct fixing *fixing = context;
	const struct vars_location *location = &fixing->locations[index];
	struct change *change = &fixing->changes[index];

	if ((location->generator && !location->file->secret) || is_replaced(fixing, location))
		return;
	if (secret_plan(fixing, location, change, &change->err) < 0)
		change->what = CHANGE_NOTHING;
	if (change->what == CHANGE_NOTHING && !change->err.text)
		change_destroy(change);
	else
		stored_secret_close(&change->stored);
}

/* A default group without members could not read new secrets. */
static int default_groups_check(const struct fixing *fixing, struct error *err)
{
	char *const *group = fixing->config->default_groups;

	for (; group && *group; group++) {
		for (size_t i = 0; i < fixing->options->member_count; i++) {
			const struct vars_member_change *change = &fixing->options->members[i];
			_cleanup_error_ struct error ignored = {0};
			int r;

			if (!change->removed ||
			    vars_group_member_check(fixing->store_dirfd, *group, change->type,
						    change->name, &ignored) < 0)
				continue;
			r = member_cache_has(fixing->cache, VARS_GROUP, *group, err);
			if (r < 0)
				return r;
			if (r > 0)
				break;
			error_set(err, VMCRED_FAILED,
				  "the default group %s of %s would have no members", *group,
				  fixing->config->path);
			return error_hint(err,
					  "add another one first: `vmcred group add %s "
					  "--user NAME`",
					  *group);
		}
	}
	return 0;
}

/* Names the changes that fail, or with `lost` those that nobody could read afterwards. */
static char *names_format(const struct fixing *fixing, bool lost, size_t *count)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	*count = 0;
	for (size_t i = 0; stream && i < fixing->files.count; i++) {
		const struct change *change = &fixing->all[i];
		_cleanup_free_ char *path = NULL;

		if (!change->err.text || (lost && !change->is_lost) || (*count)++ >= NAMES_MAX)
			continue;
		path = vars_location_path(&fixing->files.locations[i]);
		fprintf(stream, "%s%s", *count > 1 ? ", " : "", path ? path : "");
	}
	if (stream && *count > NAMES_MAX)
		fprintf(stream, " and %zu more", *count - NAMES_MAX);
	if (!stream || fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

int removal_check(const struct fixing *fixing, struct error *err)
{
	size_t count;
	_cleanup_free_ char *names = names_format(fixing, true, &count);

	if (!names)
		return error_no_memory(err);
	if (count == 0)
		return default_groups_check(fixing, err);
	error_set(err, VMCRED_FAILED, "no user could read %zu secret%s: %s", count,
		  count == 1 ? "" : "s", names);
	return error_hint(err, "give another user access first: `vmcred user add` or `vmcred group "
			       "add`");
}

int removal_failure(struct fixing *fixing, struct error *err)
{
	size_t count;
	_cleanup_free_ char *names = names_format(fixing, false, &count);

	if (!names)
		return error_no_memory(err);
	for (size_t i = 0; count > 0 && i < fixing->files.count; i++) {
		if (!fixing->all[i].err.text)
			continue;
		error_move(err, &fixing->all[i].err);
		error_wrap(err, "%zu secret%s cannot be re-encrypted (%s)", count,
			   count == 1 ? "" : "s", names);
		err->code = VMCRED_FAILED;
		return -(int)err->code;
	}
	return 0;
}
