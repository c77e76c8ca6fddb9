/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/text.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

void stored_secret_close(struct stored_secret *stored)
{
	cleanup_close_fd(&stored->dirfd);
	stored->dirfd = -1;
	sops_document_destroy(&stored->document);
}

void stored_secret_destroy(struct stored_secret *stored)
{
	stored_secret_close(stored);
	free(stored->path);
	free(stored->wrong_link);
	strings_destroy(&stored->added);
	strings_destroy(&stored->removed);
	readers_destroy(&stored->actual);
	readers_destroy(&stored->correct);
	readers_keys_release(&stored->keys);
}

int stored_secret_open(int store_dirfd, const struct vars_location *location, bool create,
		       struct stored_secret *stored, struct error *err)
{
	_cleanup_free_ char *directory = NULL;

	if (!stored->path)
		stored->path = vars_location_path(location);
	directory = stored->path ? strdup(stored->path) : NULL;
	if (!directory)
		return error_no_memory(err);
	*strrchr(directory, '/') = '\0';
	if (create) {
		stored->dirfd = dir_make(store_dirfd, directory, 0755, err);
		return stored->dirfd < 0 ? stored->dirfd : 0;
	}
	stored->dirfd = beneath_open(store_dirfd, directory, O_RDONLY | O_DIRECTORY);
	if (stored->dirfd >= 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, VMCRED_MISSING, "%s does not exist", stored->path);
	if (errno != ENOTDIR)
		return beneath_error(err, errno, "opening", directory);
	beneath_error(err, ENOTDIR, "opening", directory);
	return error_hint(err, STORE_NOT_A_DIRECTORY_HINT);
}

int stored_secret_read(struct stored_secret *stored, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = file_read_secret(stored->dirfd, "secret", VARS_DOCUMENT_SIZE_MAX, &text, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return error_set(err, VMCRED_MISSING, "%s does not exist", stored->path);
	}
	if (r < 0)
		return error_wrap(err, "%s", stored->path);
	return sops_document_read(sops_store_named("binary"), &text, stored->path,
				  &stored->document, err);
}

bool stored_secret_has_pgp(const struct stored_secret *stored)
{
	const struct sops_policy *policy = sops_document_policy(stored->document);

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			if (policy->groups[i].keys[j].type == SOPS_KEY_PGP)
				return true;
		}
	}
	return false;
}

static int correct_readers_find(const struct config *config, struct member_cache *cache,
				const struct vars_location *location, const char *writer,
				struct stored_secret *stored, struct error *err)
{
	_cleanup_readers_ struct readers declared = {0};
	char *const own[] = {(char *)location->machine, NULL}; /* only read */
	char *const *machines = NULL;
	int r;

	if (location->generator && location->file->deploy)
		machines = location->machine
				   ? own
				   : config_generator_machines(config, location->generator);
	/* Without a generator, and if it is not a machine's key, links alone decide. */
	if (!location->generator && !location->machine)
		r = readers_add_existing(&stored->actual, VARS_MACHINE, cache, &stored->correct,
					 err);
	else
		r = readers_add_declared(config, cache, machines, writer, &declared, err);
	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = readers_add_existing(&declared, (enum vars_member_type)type, cache,
					 &stored->correct, err);
	if (r == 0)
		r = readers_add_existing(&stored->actual, VARS_USER, cache, &stored->correct, err);
	if (r == 0)
		r = readers_add_existing(&stored->actual, VARS_GROUP, cache, &stored->correct, err);
	return r;
}

int stored_secret_find_readers(const struct config *config, struct member_cache *cache,
			       const struct vars_location *location, const char *writer,
			       struct stored_secret *stored, struct error *err)
{
	int r = readers_read(stored->dirfd, &stored->actual, err);

	if (r < 0)
		return error_wrap(err, "readers of %s", stored->path);
	r = correct_readers_find(config, cache, location, writer, stored, err);
	if (r == 0)
		r = links_check(stored->dirfd, store_links_up(location), &stored->actual,
				&stored->correct, &stored->wrong_link, err);
	return r < 0 ? r : readers_keys(&stored->correct, cache, &stored->keys, err);
}

/* Adds the keys of supported types; the others stay in documents as they are. */
static size_t keys_gather(const struct sops_key_group *group, const struct sops_key **keys)
{
	size_t count = 0;

	for (size_t i = 0; i < group->count; i++) {
		if (sops_key_type_is_supported(group->keys[i].type))
			keys[count++] = &group->keys[i];
	}
	return count;
}

/* Moves those of the sorted keys `a` that are not in `b` to the start of `missing`; returns how
 * many. */
static size_t keys_missing(const struct sops_key **a, size_t a_count, const struct sops_key **b,
			   size_t b_count, const struct sops_key **missing_keys)
{
	size_t missing = 0, j = 0;

	for (size_t i = 0; i < a_count; i++) {
		if (i > 0 && sops_key_compare(a[i - 1], a[i]) == 0)
			continue;
		while (j < b_count && sops_key_compare(b[j], a[i]) < 0)
			j++;
		if (j == b_count || sops_key_compare(b[j], a[i]) != 0)
			missing_keys[missing++] = a[i];
	}
	return missing;
}

/* With the reader whose key it is, such as "user ada age1..."; for a group's members the group. */
static int added_name(struct stored_secret *stored, struct member_cache *cache,
		      const struct sops_key *key, struct error *err)
{
	for (int i = 0; i < VARS_MEMBER_TYPES; i++) {
		const enum vars_member_type type = (enum vars_member_type)i;
		const struct strings *names = &stored->correct.names[i];

		for (size_t j = 0; j < names->count; j++) {
			const struct sops_key_group *own = NULL;
			_cleanup_error_ struct error ignored = {0};

			if (member_cache_keys(cache, type, names->items[j], &own, &ignored) < 0)
				continue;
			for (size_t k = 0; k < own->count; k++) {
				if (sops_key_compare(&own->keys[k], key) == 0)
					return strings_add_format(&stored->added, err, "%s %s %s",
								  vars_member_type_name(type),
								  names->items[j], key->text);
			}
		}
	}
	return strings_add(&stored->added, key->text, err);
}

static int removed_name(struct stored_secret *stored, struct member_cache *cache,
			const struct sops_key *key, struct error *err)
{
	enum vars_member_type type = VARS_USER;
	_cleanup_free_ char *text = NULL;
	const char *name = NULL;
	int r = member_cache_owner(cache, key, &type, &name, err);

	if (r == 0 && name)
		return strings_add_format(&stored->removed, err, "%s %s %s",
					  vars_member_type_name(type), name, key->text);
	if (r < 0)
		return r;
	/* A key that is not valid must not look like a line of ours. */
	text = text_visible(span_of_text(key->text), false);
	return text ? strings_add(&stored->removed, text, err) : error_no_memory(err);
}

/* The keys by which the document differs: who replaced a key.json must not remain unnoticed. */
static int difference_find(struct stored_secret *stored, struct member_cache *cache,
			   struct error *err)
{
	static const struct sops_policy nobody = {0};
	const struct sops_policy *policy =
		stored->document ? sops_document_policy(stored->document) : &nobody;
	_cleanup_free_ const struct sops_key **actual = NULL, **found = NULL;
	_cleanup_free_ const struct sops_key **correct =
		calloc(stored->keys.count + 1, sizeof(void *));
	size_t actual_count = 0, correct_count, missing, extra;
	int r = 0;

	for (size_t i = 0; i < policy->group_count; i++)
		actual_count += policy->groups[i].count;
	actual = calloc(actual_count + 1, sizeof(void *));
	found = calloc(actual_count + stored->keys.count + 1, sizeof(void *));
	if (!actual || !correct || !found)
		return error_no_memory(err);
	actual_count = 0;
	for (size_t i = 0; i < policy->group_count; i++)
		actual_count += keys_gather(&policy->groups[i], actual + actual_count);
	correct_count = keys_gather(&stored->keys, correct);
	qsort(actual, actual_count, sizeof(void *), readers_keys_order);
	qsort(correct, correct_count, sizeof(void *), readers_keys_order);
	/* With several groups each key opens only a share. */
	missing = keys_missing(correct, correct_count, actual,
			       policy->group_count > 1 ? 0 : actual_count, found);
	extra = keys_missing(actual, actual_count, correct, correct_count, found + missing);
	for (size_t i = 0; r == 0 && i < missing; i++)
		r = added_name(stored, cache, found[i], err);
	for (size_t i = 0; r == 0 && i < extra; i++)
		r = removed_name(stored, cache, found[missing + i], err);
	return r;
}

static void recipients_print(FILE *stream, const struct stored_secret *stored)
{
	const size_t added = stored->added.count, removed = stored->removed.count;

	fprintf(stream, "%zu recipient%s to add, %zu to remove", added, added == 1 ? "" : "s",
		removed);
	for (size_t i = 0; i < added + removed; i++)
		fprintf(stream, "%s %c %s", i == 0 ? ":" : ",", i < added ? '+' : '-',
			i < added ? stored->added.items[i] : stored->removed.items[i - added]);
}

int stored_secret_compare(struct stored_secret *stored, struct member_cache *cache,
			  char **difference, struct error *err)
{
	char *text = NULL;
	size_t size;
	FILE *stream;
	int r = difference_find(stored, cache, err);

	*difference = NULL;
	if (r < 0)
		return r;
	if (stored->added.count + stored->removed.count > 0) {
		stream = open_memstream(&text, &size);
		if (stream)
			recipients_print(stream, stored);
		if (!stream || fclose(stream) != 0) {
			free(text);
			return error_no_memory(err);
		}
		*difference = text;
	} else if (stored->wrong_link) {
		*difference = text_format("links only: %s leads elsewhere", stored->wrong_link);
	} else if (!readers_are_within(&stored->actual, &stored->correct) ||
		   !readers_are_within(&stored->correct, &stored->actual)) {
		*difference = strdup("links only");
	} else {
		return 0;
	}
	return *difference ? 0 : error_no_memory(err);
}
