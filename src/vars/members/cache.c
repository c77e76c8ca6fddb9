/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vars/members/members.h"
#include "vars/store/store.h"

/* A machine, a user or a group. */
struct entry {
	struct sops_key_group keys; /* owned */
	size_t members;             /* of a group */
	bool is_read;
	bool gpg_checked; /* gpg knows its PGP keys; protected by the lock for gpg */
};

struct entries {
	struct strings names;  /* owned; sorted */
	struct entry *entries; /* owned; one for each name */
};

struct member_cache {
	int store_dirfd;
	const struct vars_exclusion *exclude; /* or NULL */
	pthread_mutex_t gpg_lock;             /* while gpg runs: one thread asks for all */
	pthread_mutex_t lock; /* protects what follows; not held during slow work, except for
				 listing a directory */
	struct entries types[VARS_MEMBER_TYPES];
};

int member_cache_create(int store_dirfd, const struct vars_exclusion *exclude,
			struct member_cache **cache, struct error *err)
{
	struct member_cache *new = calloc(1, sizeof(*new));

	if (!new)
		return error_no_memory(err);
	new->store_dirfd = store_dirfd;
	new->exclude = exclude;
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->gpg_lock, NULL);
	*cache = new;
	return 0;
}

void member_cache_destroy(struct member_cache **cache)
{
	if (!*cache)
		return;
	for (size_t i = 0; i < VARS_MEMBER_TYPES; i++) {
		struct entries *entries = &(*cache)->types[i];

		for (size_t j = 0; entries->entries && j < entries->names.count; j++)
			sops_key_group_destroy(&entries->entries[j].keys);
		free(entries->entries);
		strings_destroy(&entries->names);
	}
	pthread_mutex_destroy(&(*cache)->lock);
	pthread_mutex_destroy(&(*cache)->gpg_lock);
	free(pointer_release(cache));
}

/* Whether it is excluded altogether, or as a member of the group (which may be NULL). */
static bool is_excluded(const struct member_cache *cache, enum vars_member_type type,
			const char *name, const char *group)
{
	const struct vars_exclusion *exclude = cache->exclude;

	return exclude && exclude->name && exclude->type == type &&
	       strcmp(exclude->name, name) == 0 &&
	       (!exclude->group || (group && strcmp(exclude->group, group) == 0));
}

/* With the lock held. */
static int entries_list(struct member_cache *cache, enum vars_member_type type, struct error *err)
{
	struct entries *entries = &cache->types[type];
	_cleanup_strings_ struct strings all = {0};
	int r = vars_members_list(cache->store_dirfd, type, &all, err);

	for (size_t i = 0; r == 0 && i < all.count; i++) {
		if (!is_excluded(cache, type, all.items[i], NULL))
			r = strings_add(&entries->names, all.items[i], err);
	}
	if (r == 0) {
		entries->entries = calloc(entries->names.count + 1, sizeof(*entries->entries));
		r = entries->entries ? 0 : error_no_memory(err);
	}
	if (r < 0)
		strings_destroy(&entries->names);
	return r;
}

int member_cache_names(struct member_cache *cache, enum vars_member_type type,
		       const struct strings **names, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&cache->lock);
	if (!cache->types[type].entries)
		r = entries_list(cache, type, err);
	pthread_mutex_unlock(&cache->lock);
	*names = &cache->types[type].names;
	return r;
}

/* `*found` is NULL if it does not exist. */
static int entry_find(struct member_cache *cache, enum vars_member_type type, const char *name,
		      struct entry **found, struct error *err)
{
	const struct strings *names;
	int r = member_cache_names(cache, type, &names, err);
	char **at = NULL;

	if (r == 0 && names->count > 0)
		at = bsearch(&name, names->items, names->count, sizeof(char *),
			     store_names_compare);
	*found = at ? &cache->types[type].entries[at - names->items] : NULL;
	return r;
}

int member_cache_has(struct member_cache *cache, enum vars_member_type type, const char *name,
		     struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = entry_find(cache, type, name, &entry, err);

	if (r < 0 || !entry || type != VARS_GROUP)
		return r < 0 ? r : entry != NULL;
	r = member_cache_keys(cache, type, name, &keys, err);
	return r < 0 ? r : entry->members > 0;
}

typedef int (*group_each_fn)(struct member_cache *cache, enum vars_member_type type,
			     const char *name, struct entry *group, struct error *err);

/* Calls `each` for the members of a group that exist and are not excluded. */
static int group_each(struct member_cache *cache, const char *group, group_each_fn each,
		      struct entry *entry, struct error *err)
{
	static const enum vars_member_type types[] = {VARS_MACHINE, VARS_USER};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++) {
		_cleanup_strings_ struct strings names = {0};

		r = vars_group_members(cache->store_dirfd, group, types[i], &names, err);
		for (size_t j = 0; r == 0 && j < names.count; j++) {
			const char *name = names.items[j];

			r = member_cache_has(cache, types[i], name, err);
			if (r > 0)
				r = is_excluded(cache, types[i], name, group)
					    ? 0
					    : each(cache, types[i], name, entry, err);
		}
	}
	return r;
}

static int member_keys_add(struct member_cache *cache, enum vars_member_type type, const char *name,
			   struct entry *group, struct error *err)
{
	const struct sops_key_group *own = NULL;
	int r = member_cache_keys(cache, type, name, &own, err);

	for (size_t i = 0; r == 0 && i < own->count; i++)
		r = sops_key_group_add(&group->keys, own->keys[i].type,
				       span_of_text(own->keys[i].text), err);
	group->members++;
	return r;
}

static int entry_read(struct member_cache *cache, enum vars_member_type type, const char *name,
		      struct entry *entry, struct error *err)
{
	struct entry read = {0};
	int r = type == VARS_GROUP
			? group_each(cache, name, member_keys_add, &read, err)
			: member_keys_read(cache->store_dirfd, type, name, &read.keys, err);

	/* If two threads have read it, the first result stays: it may be in use already. */
	pthread_mutex_lock(&cache->lock);
	if (r == 0 && !entry->is_read) {
		entry->keys = read.keys;
		entry->members = read.members;
		entry->is_read = true;
		read.keys = (struct sops_key_group){0};
	}
	pthread_mutex_unlock(&cache->lock);
	sops_key_group_destroy(&read.keys);
	return r;
}

int member_cache_keys(struct member_cache *cache, enum vars_member_type type, const char *name,
		      const struct sops_key_group **keys, struct error *err)
{
	struct entry *entry = NULL;
	bool is_read;
	int r = entry_find(cache, type, name, &entry, err);

	if (r == 0 && !entry)
		return member_no_key(type, name, err);
	if (r < 0)
		return r;
	*keys = &entry->keys;
	pthread_mutex_lock(&cache->lock);
	is_read = entry->is_read;
	pthread_mutex_unlock(&cache->lock);
	return is_read ? 0 : entry_read(cache, type, name, entry, err);
}

static int keys_gpg_check(enum vars_member_type type, const char *name,
			  const struct sops_key_group *keys, struct error *err)
{
	for (size_t i = 0; i < keys->count; i++) {
		const struct sops_key *key = &keys->keys[i];

		if (key->type != SOPS_KEY_PGP ||
		    sops_gpg_key_check(sops_gpg(), key->text, err) == 0)
			continue;
		error_wrap(err, "PGP key %s of the %s %s in sops/%s/%s/key.json", key->text,
			   vars_member_type_name(type), name, members_directory(type), name);
		return error_hint(err, "import it: `gpg --import FILE` or `gpg --recv-keys %s`",
				  key->text);
	}
	return 0;
}

/* With the lock for gpg held. */
static int entry_gpg_check(struct member_cache *cache, enum vars_member_type type, const char *name,
			   struct entry *group, struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = member_cache_keys(cache, type, name, &keys, err);

	(void)group;
	if (r == 0)
		r = entry_find(cache, type, name, &entry, err);
	if (r < 0 || !entry || entry->gpg_checked)
		return r;
	r = type == VARS_GROUP ? group_each(cache, name, entry_gpg_check, NULL, err)
			       : keys_gpg_check(type, name, keys, err);
	entry->gpg_checked = r == 0;
	return r;
}

int member_cache_gpg_check(struct member_cache *cache, enum vars_member_type type, const char *name,
			   struct error *err)
{
	const struct sops_key_group *keys = NULL;
	int r = member_cache_keys(cache, type, name, &keys, err);

	for (size_t i = 0; r == 0 && i < keys->count; i++) {
		if (keys->keys[i].type != SOPS_KEY_PGP)
			continue;
		pthread_mutex_lock(&cache->gpg_lock);
		r = entry_gpg_check(cache, type, name, NULL, err);
		pthread_mutex_unlock(&cache->gpg_lock);
		break;
	}
	return r;
}
