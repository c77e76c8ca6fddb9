/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "vars/placing.h"
#include "vars/roster.h"

static int names_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the copy over. The list has room for a power of two. */
static int names_append(char ***names, size_t count, char *copy, struct error *err)
{
	const size_t room = count + 2;
	char **larger = *names;

	if (copy && (room & (room - 1)) == 0)
		larger = reallocarray(*names, room * 2, sizeof(char *));
	if (!copy || !larger) {
		free(copy);
		return error_no_memory(err);
	}
	*names = larger;
	larger[count] = copy;
	larger[count + 1] = NULL;
	return 0;
}

/* A list that is read. */
struct listing {
	const char *folder;
	char **names;
	size_t count;
};

static int name_take(void *context, const char *entry, struct error *err)
{
	struct listing *listing = context;
	int r;

	if (entry[0] == '.')
		return 0;
	r = store_name_check(listing->folder, entry, err);
	return r < 0 ? r : names_append(&listing->names, listing->count++, strdup(entry), err);
}

int store_names_list(int dirfd, const char *folder, char ***names, struct error *err)
{
	struct listing listing = {.folder = folder};
	int r = dir_each(dirfd, folder, name_take, &listing, err);

	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		r = 0;
	}
	*names = listing.names;
	if (r == 0 && *names)
		qsort(*names, listing.count, sizeof(char *), names_compare);
	return r;
}

int access_read(int secret_dirfd, struct access *access, struct error *err)
{
	int r = 0;

	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = store_names_list(secret_dirfd,
				     store_kind_directory((enum vars_member_type)type),
				     &access->names[type], err);
	return r;
}

bool access_has(const struct access *access, enum vars_member_type type, const char *name)
{
	char *const *names = access->names[type];

	return names &&
	       bsearch(&name, names, config_texts_count(names), sizeof(char *), names_compare);
}

/* Takes out what is there twice. */
static void names_unite(char **names, size_t count)
{
	size_t kept = 0;

	qsort(names, count, sizeof(char *), names_compare);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && strcmp(names[kept - 1], names[i]) == 0)
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	names[kept] = NULL;
}

int access_add(struct access *access, enum vars_member_type type, char *const *names,
	       struct error *err)
{
	char **list = access->names[type];
	size_t count = config_texts_count(list);

	if (!names || !*names)
		return 0;
	list = reallocarray(list, count + config_texts_count(names) + 1, sizeof(char *));
	if (!list)
		return error_no_memory(err);
	access->names[type] = list;
	for (; *names; names++) {
		list[count] = strdup(*names);
		if (!list[count])
			return error_no_memory(err);
		list[++count] = NULL;
	}
	names_unite(list, count);
	return 0;
}

int access_declared(const struct config *config, struct roster *roster, char *const *machines,
		    const char *writer, struct access *access, struct error *err)
{
	char *const writers[] = {(char *)writer, NULL}; /* read, and no more */
	char *const *users = NULL;
	int r = access_add(access, VARS_MACHINE, machines, err);

	if (r == 0)
		r = access_add(access, VARS_USER, writers, err);
	if (r == 0)
		r = access_add(access, VARS_GROUP, config->default_groups, err);
	if (r == 0 && !config->default_groups)
		r = roster_names(roster, VARS_USER, &users, err);
	return r < 0 ? r : access_add(access, VARS_USER, users, err);
}

static bool texts_equal(char *const *a, char *const *b)
{
	size_t count = config_texts_count(a);

	if (config_texts_count(b) != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

bool access_equal(const struct access *a, const struct access *b)
{
	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		if (!texts_equal(a->names[type], b->names[type]))
			return false;
	}
	return true;
}

void access_destroy(struct access *access)
{
	for (int type = 0; type < VARS_MEMBER_TYPES; type++)
		config_texts_free(access->names[type]);
	*access = (struct access){0};
}

/* A key, and where it is in the list. */
struct place {
	const struct sops_key *key;
	size_t at;
};

static int place_compare(const void *a, const void *b)
{
	const struct place *one = a, *other = b;
	int order = sops_key_compare(one->key, other->key);

	if (order == 0)
		order = one->at < other->at ? -1 : 1;
	return order;
}

/* Takes out what is there twice; the first of each stays where it is. */
static int keys_unite(struct sops_key_group *keys, struct error *err)
{
	_cleanup_free_ struct place *places = calloc(keys->count + 1, sizeof(*places));
	_cleanup_free_ bool *again = calloc(keys->count + 1, sizeof(*again));
	size_t kept = 0;

	if (!places || !again)
		return error_no_memory(err);
	for (size_t i = 0; i < keys->count; i++)
		places[i] = (struct place){&keys->keys[i], i};
	qsort(places, keys->count, sizeof(*places), place_compare);
	for (size_t i = 1; i < keys->count; i++)
		again[places[i].at] = sops_key_compare(places[i].key, places[i - 1].key) == 0;
	for (size_t i = 0; i < keys->count; i++) {
		if (!again[i])
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

int access_keys(const struct access *access, struct roster *roster, struct sops_key_group *keys,
		struct error *err)
{
	size_t room = 0;
	int r = 0;

	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		for (char **name = access->names[type]; r == 0 && name && *name; name++) {
			const struct sops_key_group *own = NULL;

			r = roster_keys(roster, (enum vars_member_type)type, *name, &own, err);
			if (r == 0)
				r = keys_append(keys, &room, own, err);
		}
	}
	return r < 0 ? r : keys_unite(keys, err);
}

void access_keys_destroy(struct sops_key_group *keys)
{
	free(keys->keys);
	*keys = (struct sops_key_group){0};
}

int access_gpg_check(const struct access *access, struct roster *roster, struct error *err)
{
	int r = 0;

	for (int type = 0; type < VARS_MEMBER_TYPES; type++) {
		for (char **name = access->names[type]; r == 0 && name && *name; name++)
			r = roster_gpg_check(roster, (enum vars_member_type)type, *name, err);
	}
	return r;
}

/* Links that shall not be there any more. */
static int links_remove(int secret_dirfd, enum vars_member_type type, const struct access *access,
			struct error *err)
{
	const char *folder = store_kind_directory(type);
	_cleanup_close_ int dirfd = -1;
	char **present = NULL;
	int r = store_names_list(secret_dirfd, folder, &present, err);

	if (r == 0 && present) {
		dirfd = dir_open(secret_dirfd, folder, err);
		r = dirfd < 0 ? dirfd : 0;
	}
	for (size_t i = 0; r == 0 && present && present[i]; i++) {
		if (!access_has(access, type, present[i]) && unlinkat(dirfd, present[i], 0) < 0)
			r = error_set_errno(err, errno, "removing the link %s/%s", folder,
					    present[i]);
	}
	config_texts_free(present);
	if (r < 0)
		return r;
	/* As clan has it, there is no empty folder. */
	if (!access->names[type] || !access->names[type][0])
		(void)unlinkat(secret_dirfd, folder, AT_REMOVEDIR);
	return 0;
}

static int all_links_add(int secret_dirfd, const char *up, const struct access *access,
			 struct error *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < VARS_MEMBER_TYPES; i++) {
		const enum vars_member_type type = (enum vars_member_type)i;
		_cleanup_close_ int dirfd = -1;

		if (!access->names[type] || !access->names[type][0])
			continue;
		dirfd = dir_make(secret_dirfd, store_kind_directory(type), 0755, err);
		r = dirfd < 0 ? dirfd : 0;
		for (char **name = access->names[type]; r == 0 && *name; name++)
			r = access_link_write(secret_dirfd, dirfd, up, type, *name, err);
		if (r == 0)
			r = dir_sync(dirfd, store_kind_directory(type), err);
	}
	return r;
}

static int all_links_remove(int secret_dirfd, const struct access *access, struct error *err)
{
	int r = 0;

	for (int type = 0; r == 0 && type < VARS_MEMBER_TYPES; type++)
		r = links_remove(secret_dirfd, (enum vars_member_type)type, access, err);
	return r;
}

int access_place(int store_dirfd, int secret_dirfd, const char *path, const char *up,
		 const struct access *access, struct span document, struct error *err)
{
	int r = all_links_add(secret_dirfd, up, access, err);

	if (r == 0 && document.size > 0)
		r = placing_file(store_dirfd, secret_dirfd, "secret", path, document, err);
	return r < 0 ? r : all_links_remove(secret_dirfd, access, err);
}
