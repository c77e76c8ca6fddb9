/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

void stored_secret_destroy(struct stored_secret *stored)
{
	if (stored->dirfd >= 0)
		close(stored->dirfd);
	free(stored->path);
	free(stored->wrong_link);
	sops_document_destroy(&stored->document);
	readers_destroy(&stored->actual);
	readers_destroy(&stored->correct);
	readers_keys_release(&stored->keys);
}

int stored_secret_open(int store_dirfd, const struct vars_location *location, bool create,
		       struct stored_secret *stored, struct error *err)
{
	_cleanup_free_ char *directory = NULL;

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

/* How many of the sorted keys `a` are not in `b`. */
static size_t keys_missing(const struct sops_key **a, size_t a_count, const struct sops_key **b,
			   size_t b_count)
{
	size_t missing = 0, j = 0;

	for (size_t i = 0; i < a_count; i++) {
		if (i > 0 && sops_key_compare(a[i - 1], a[i]) == 0)
			continue;
		while (j < b_count && sops_key_compare(b[j], a[i]) < 0)
			j++;
		missing += j == b_count || sops_key_compare(b[j], a[i]) != 0;
	}
	return missing;
}

static int keys_compare(struct stored_secret *stored, struct error *err)
{
	const struct sops_policy *policy = sops_document_policy(stored->document);
	_cleanup_free_ const struct sops_key **actual = NULL;
	_cleanup_free_ const struct sops_key **correct =
		calloc(stored->keys.count + 1, sizeof(void *));
	size_t actual_count = 0, correct_count;

	for (size_t i = 0; i < policy->group_count; i++)
		actual_count += policy->groups[i].count;
	actual = calloc(actual_count + 1, sizeof(void *));
	if (!actual || !correct)
		return error_no_memory(err);
	actual_count = 0;
	for (size_t i = 0; i < policy->group_count; i++)
		actual_count += keys_gather(&policy->groups[i], actual + actual_count);
	correct_count = keys_gather(&stored->keys, correct);
	qsort(actual, actual_count, sizeof(void *), readers_keys_order);
	qsort(correct, correct_count, sizeof(void *), readers_keys_order);
	stored->missing_keys = keys_missing(correct, correct_count, actual, actual_count);
	stored->extra_keys = keys_missing(actual, actual_count, correct, correct_count);
	/* With several groups each key opens only a share. */
	if (policy->group_count > 1)
		stored->missing_keys = correct_count;
	return 0;
}

int stored_secret_compare(struct stored_secret *stored, char **difference, struct error *err)
{
	int r = keys_compare(stored, err);

	*difference = NULL;
	if (r < 0)
		return r;
	if (stored->missing_keys > 0 || stored->extra_keys > 0)
		*difference =
			text_format("%zu recipient%s to add, %zu to remove", stored->missing_keys,
				    stored->missing_keys == 1 ? "" : "s", stored->extra_keys);
	else if (stored->wrong_link)
		*difference = text_format("links only: %s leads elsewhere", stored->wrong_link);
	else if (!readers_equal(&stored->actual, &stored->correct))
		*difference = strdup("links only");
	else
		return 0;
	return *difference ? 0 : error_no_memory(err);
}
