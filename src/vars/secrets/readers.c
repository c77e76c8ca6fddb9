/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

int readers_read(int secret_dirfd, struct readers *readers, struct error *err)
{
	int r = 0;

	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = store_names_list(secret_dirfd, members_directory((enum vars_member_type)type),
				     &readers->names[type], err);
	return r;
}

bool readers_include(const struct readers *readers, enum vars_member_type type, const char *name)
{
	const struct strings *names = &readers->names[type];

	return names->count > 0 &&
	       bsearch(&name, names->items, names->count, sizeof(char *), texts_compare);
}

int readers_add(struct readers *readers, enum vars_member_type type, char *const *names,
		struct error *err)
{
	struct strings *all = &readers->names[type];
	size_t kept = 0;
	int r;

	if (!names || !*names)
		return 0;
	r = strings_add_all(all, names, err);
	if (r < 0)
		return r;
	qsort(all->items, all->count, sizeof(char *), texts_compare);
	for (size_t i = 0; i < all->count; i++) {
		if (kept > 0 && strcmp(all->items[kept - 1], all->items[i]) == 0)
			free(all->items[i]);
		else
			all->items[kept++] = all->items[i];
	}
	all->items[kept] = NULL;
	all->count = kept;
	return 0;
}

int readers_add_declared(const struct config *config, struct member_cache *cache,
			 char *const *machines, const char *writer, struct readers *readers,
			 struct error *err)
{
	char *const writers[] = {(char *)writer, NULL}; /* only read */
	const struct strings *users = NULL;
	int r = readers_add(readers, VARS_MACHINE, machines, err);

	if (r == 0)
		r = readers_add(readers, VARS_USER, writers, err);
	if (r == 0)
		r = readers_add(readers, VARS_GROUP, config->default_groups, err);
	if (r < 0 || config->default_groups)
		return r;
	r = member_cache_names(cache, VARS_USER, &users, err);
	return r < 0 ? r : readers_add(readers, VARS_USER, users->items, err);
}

int readers_add_existing(const struct readers *from, enum vars_member_type type,
			 struct member_cache *cache, struct readers *to, struct error *err)
{
	const struct strings *names = &from->names[type];
	_cleanup_free_ char **existing = calloc(names->count + 1, sizeof(char *));
	size_t count = 0;

	if (!existing)
		return error_no_memory(err);
	for (size_t i = 0; i < names->count; i++) {
		int r = member_cache_has(cache, type, names->items[i], err);

		if (r < 0)
			return r;
		if (r > 0)
			existing[count++] = names->items[i];
	}
	return readers_add(to, type, existing, err);
}

int readers_add_linked(int dirfd, const char *directory, struct member_cache *cache,
		       struct readers *readers, struct error *err)
{
	_cleanup_readers_ struct readers actual = {0};
	_cleanup_close_ int secret_dirfd = beneath_open(dirfd, directory, O_RDONLY | O_DIRECTORY);
	int r;

	if (secret_dirfd < 0)
		return errno == ENOENT ? 0 : beneath_error(err, errno, "opening", directory);
	r = readers_read(secret_dirfd, &actual, err);
	if (r == 0)
		r = readers_add_existing(&actual, VARS_USER, cache, readers, err);
	return r < 0 ? r : readers_add_existing(&actual, VARS_GROUP, cache, readers, err);
}

bool readers_are_within(const struct readers *some, const struct readers *all)
{
	for (int i = 0; i < VARS_MEMBER_TYPES; i++) {
		const enum vars_member_type type = (enum vars_member_type)i;

		for (size_t j = 0; j < some->names[i].count; j++) {
			if (!readers_include(all, type, some->names[i].items[j]))
				return false;
		}
	}
	return true;
}

void readers_destroy(struct readers *readers)
{
	for (int type = 0; type < VARS_MEMBER_TYPES; type++)
		strings_destroy(&readers->names[type]);
}

int readers_keys_order(const void *a, const void *b)
{
	const struct sops_key *one = *(const struct sops_key *const *)a;
	const struct sops_key *other = *(const struct sops_key *const *)b;
	int order = sops_key_compare(one, other);

	return order != 0 ? order : (one > other) - (one < other);
}

/* Removes duplicates; the first of each stays where it is. */
static int duplicates_remove(struct sops_key_group *keys, struct error *err)
{
	_cleanup_free_ const struct sops_key **sorted = calloc(keys->count + 1, sizeof(void *));
	_cleanup_free_ bool *duplicate = calloc(keys->count + 1, sizeof(*duplicate));
	size_t kept = 0;

	if (!sorted || !duplicate)
		return error_no_memory(err);
	for (size_t i = 0; i < keys->count; i++)
		sorted[i] = &keys->keys[i];
	qsort(sorted, keys->count, sizeof(void *), readers_keys_order);
	for (size_t i = 1; i < keys->count; i++)
		duplicate[sorted[i] - keys->keys] = sops_key_compare(sorted[i], sorted[i - 1]) == 0;
	for (size_t i = 0; i < keys->count; i++) {
		if (!duplicate[i])
			keys->keys[kept++] = keys->keys[i];
	}
	keys->count = kept;
	return 0;
}

static int keys_append(struct sops_key_group *keys, size_t *room, const struct sops_key_group *more,
		       struct error *err)
{
	if (keys->count + more->count > *room) {
		size_t larger = (keys->count + more->count) * 2;
		struct sops_key *list = reallocarray(keys->keys, larger, sizeof(*list));

		if (!list)
			return error_no_memory(err);
		keys->keys = list;
		*room = larger;
	}
	for (size_t i = 0; i < more->count; i++)
		keys->keys[keys->count++] = more->keys[i];
	return 0;
}

int readers_keys(const struct readers *readers, struct member_cache *cache,
		 struct sops_key_group *keys, struct error *err)
{
	size_t room = 0;
	int r = 0;

	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		for (size_t i = 0; r == 0 && i < readers->names[type].count; i++) {
			const struct sops_key_group *own = NULL;

			r = member_cache_keys(cache, (enum vars_member_type)type,
					      readers->names[type].items[i], &own, err);
			if (r == 0)
				r = keys_append(keys, &room, own, err);
		}
	}
	return r < 0 ? r : duplicates_remove(keys, err);
}

void readers_keys_release(struct sops_key_group *keys)
{
	free(keys->keys);
	*keys = (struct sops_key_group){0};
}

int readers_gpg_check(const struct readers *readers, struct member_cache *cache, struct error *err)
{
	int r = 0;

	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		for (size_t i = 0; r == 0 && i < readers->names[type].count; i++)
			r = member_cache_gpg_check(cache, (enum vars_member_type)type,
						   readers->names[type].items[i], err);
	}
	return r;
}
