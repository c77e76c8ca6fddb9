/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vars/members/members.h"
#include "vars/store/store.h"

/* A machine, a user or a group. */
struct entry {
	struct sops_key_group keys; /* owned */
	size_t members, users;      /* of a group */
	size_t users_before;        /* of a group, before the changes */
	bool is_read;
	bool gpg_checked; /* gpg knows its PGP keys; protected by the lock for gpg */
};

struct entries {
	struct strings names;  /* owned; sorted */
	struct entry *entries; /* owned; one for each name */
};

struct member_cache {
	int store_dirfd;
	const struct vars_member_change *changes; /* borrowed */
	size_t change_count;
	pthread_mutex_t gpg_lock; /* while gpg runs: one thread asks for all */
	pthread_mutex_t lock;     /* protects what follows; not held during slow work, except for
				     listing a directory */
	struct entries types[VARS_MEMBER_TYPES];
	pthread_mutex_t owners_lock; /* while the owners are read */
	struct key_owners *owners;   /* owned; NULL until one is searched */
};

int member_cache_create(int store_dirfd, const struct vars_member_change *changes, size_t count,
			struct member_cache **cache, struct error *err)
{
	struct member_cache *new = calloc(1, sizeof(*new));

	if (!new)
		return error_no_memory(err);
	new->store_dirfd = store_dirfd;
	new->changes = changes;
	new->change_count = count;
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->owners_lock, NULL);
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
	key_owners_destroy(&(*cache)->owners);
	pthread_mutex_destroy(&(*cache)->owners_lock);
	pthread_mutex_destroy(&(*cache)->lock);
	pthread_mutex_destroy(&(*cache)->gpg_lock);
	free(pointer_release(cache));
}

/* The planned change of the member in the store, or in the group; NULL: none. */
static const struct vars_member_change *change_find(const struct member_cache *cache,
						    enum vars_member_type type, const char *name,
						    const char *group)
{
	for (size_t i = 0; i < cache->change_count; i++) {
		const struct vars_member_change *change = &cache->changes[i];

		if (change->type == type && strcmp(change->name, name) == 0 &&
		    (group && change->group ? strcmp(change->group, group) == 0
					    : group == change->group))
			return change;
	}
	return NULL;
}

static int sorted_add(struct strings *names, const char *name, struct error *err)
{
	int r = strings_contain(names, name) ? 0 : strings_add(names, name, err);

	if (r == 0)
		qsort(names->items, names->count, sizeof(char *), texts_compare);
	return r;
}

/* The names after the changes. */
static int names_change(const struct member_cache *cache, enum vars_member_type type,
			const char *group, const struct strings *before, struct strings *names,
			struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < before->count; i++) {
		const struct vars_member_change *change =
			change_find(cache, type, before->items[i], group);

		if (!change || !change->removed)
			r = strings_add(names, before->items[i], err);
	}
	for (size_t i = 0; r == 0 && i < cache->change_count; i++) {
		const struct vars_member_change *change = &cache->changes[i];

		if (change->removed)
			continue;
		/* A group is created with its first member. */
		if (type == VARS_GROUP && change->group)
			r = sorted_add(names, change->group, err);
		else if (change->type == type &&
			 change_find(cache, type, change->name, group) == change)
			r = sorted_add(names, change->name, err);
	}
	return r;
}

/* With the lock held. */
static int entries_list(struct member_cache *cache, enum vars_member_type type, struct error *err)
{
	struct entries *entries = &cache->types[type];
	_cleanup_strings_ struct strings before = {0};
	int r = vars_members_list(cache->store_dirfd, type, &before, err);

	if (r == 0)
		r = names_change(cache, type, NULL, &before, &entries->names, err);
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
		at = bsearch(&name, names->items, names->count, sizeof(char *), texts_compare);
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

/* Calls `each` for the members of a group that exist. */
static int group_each(struct member_cache *cache, const char *group, group_each_fn each,
		      struct entry *entry, struct error *err)
{
	static const enum vars_member_type types[] = {VARS_MACHINE, VARS_USER};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++) {
		_cleanup_strings_ struct strings before = {0}, names = {0};

		r = vars_group_members(cache->store_dirfd, group, types[i], &before, err);
		if (r == 0)
			r = names_change(cache, types[i], group, &before, &names, err);
		if (types[i] == VARS_USER && entry)
			entry->users_before = before.count;
		for (size_t j = 0; r == 0 && j < names.count; j++) {
			r = member_cache_has(cache, types[i], names.items[j], err);
			if (r > 0)
				r = each(cache, types[i], names.items[j], entry, err);
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
	group->users += type == VARS_USER;
	return r;
}

static int member_keys_find(const struct member_cache *cache, enum vars_member_type type,
			    const char *name, struct sops_key_group *keys, struct error *err)
{
	const struct vars_member_change *change = change_find(cache, type, name, NULL);
	int r = 0;

	if (!change || !change->keys)
		return member_keys_read(cache->store_dirfd, type, name, keys, err);
	for (size_t i = 0; r == 0 && i < change->keys->count; i++)
		r = sops_key_group_add(keys, change->keys->keys[i].type,
				       span_of_text(change->keys->keys[i].text), err);
	return r;
}

static int entry_read(struct member_cache *cache, enum vars_member_type type, const char *name,
		      struct entry *entry, struct error *err)
{
	struct entry read = {0};
	int r = type == VARS_GROUP ? group_each(cache, name, member_keys_add, &read, err)
				   : member_keys_find(cache, type, name, &read.keys, err);

	/* If two threads have read it, the first result stays: it may be in use already. */
	pthread_mutex_lock(&cache->lock);
	if (r == 0 && !entry->is_read) {
		entry->keys = read.keys;
		entry->members = read.members;
		entry->users = read.users;
		entry->users_before = read.users_before;
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

int member_cache_has_user(struct member_cache *cache, const char *group, bool before,
			  struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = entry_find(cache, VARS_GROUP, group, &entry, err);

	if (r < 0 || !entry)
		return r;
	r = member_cache_keys(cache, VARS_GROUP, group, &keys, err);
	return r < 0 ? r : (before ? entry->users_before : entry->users) > 0;
}

int member_cache_owner(struct member_cache *cache, const struct sops_key *key,
		       enum vars_member_type *type, const char **name, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&cache->owners_lock);
	if (!cache->owners)
		r = key_owners_read(cache->store_dirfd, &cache->owners, err);
	pthread_mutex_unlock(&cache->owners_lock);
	*name = r == 0 ? key_owners_find(cache->owners, key, type) : NULL;
	return r;
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
