/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A machine, a user or a group. */
struct entry {
	struct sops_key_group keys; /* owned */
	size_t members;             /* of a group */
	bool is_read;
	bool gpg_has_keys; /* its PGP keys, once that was asked; under the lock for gpg */
};

struct kind_entries {
	char **names;          /* owned; sorted */
	struct entry *entries; /* owned; for each name */
	size_t count;
	bool is_listed;
};

struct roster {
	int store_dirfd;
	const struct vars_exclusion *exclude; /* or NULL */
	pthread_mutex_t gpg_lock;             /* while gpg is asked: one thread asks for all */
	pthread_mutex_t lock; /* of all below, and of nothing slow but listing a folder */
	struct kind_entries kinds[VARS_MEMBER_TYPES];
};

int roster_create(int store_dirfd, const struct vars_exclusion *exclude, struct roster **roster,
		  struct error *err)
{
	struct roster *new = calloc(1, sizeof(*new));

	if (!new)
		return error_no_memory(err);
	new->store_dirfd = store_dirfd;
	new->exclude = exclude;
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->gpg_lock, NULL);
	*roster = new;
	return 0;
}

void roster_destroy(struct roster **roster)
{
	if (!*roster)
		return;
	for (size_t i = 0; i < VARS_MEMBER_TYPES; i++) {
		struct kind_entries *list = &(*roster)->kinds[i];

		for (size_t j = 0; j < list->count; j++)
			sops_key_group_destroy(&list->entries[j].keys);
		free(list->entries);
		config_texts_free(list->names);
	}
	pthread_mutex_destroy(&(*roster)->lock);
	pthread_mutex_destroy(&(*roster)->gpg_lock);
	free(*roster);
	*roster = NULL;
}

/* Whether it is who departs: altogether, or out of the group (type may be NULL). */
static bool is_departing(const struct vars_exclusion *exclude, enum vars_member_type type,
			 const char *name, const char *group)
{
	return exclude && exclude->name && exclude->type == type &&
	       strcmp(exclude->name, name) == 0 &&
	       (!exclude->group || (group && strcmp(exclude->group, group) == 0));
}

static void departing_remove(const struct vars_exclusion *exclude, enum vars_member_type type,
			     char **names)
{
	size_t kept = 0;

	for (size_t i = 0; names && names[i]; i++) {
		if (is_departing(exclude, type, names[i], NULL))
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	if (names)
		names[kept] = NULL;
}

static int names_read(struct roster *roster, enum vars_member_type type, struct error *err)
{
	struct kind_entries *list = &roster->kinds[type];
	int r = vars_members_list(roster->store_dirfd, type, &list->names, err);

	if (r < 0)
		return r;
	departing_remove(roster->exclude, type, list->names);
	list->count = config_texts_count(list->names);
	list->entries = calloc(list->count + 1, sizeof(*list->entries));
	if (!list->entries) {
		config_texts_free(pointer_release(&list->names));
		list->count = 0;
		return error_no_memory(err);
	}
	list->is_listed = true;
	return 0;
}

/* Once it is listed, only the entries change. */
static int kind_list(struct roster *roster, enum vars_member_type type, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&roster->lock);
	if (!roster->kinds[type].is_listed)
		r = names_read(roster, type, err);
	pthread_mutex_unlock(&roster->lock);
	return r;
}

int roster_names(struct roster *roster, enum vars_member_type type, char *const **names,
		 struct error *err)
{
	int r = kind_list(roster, type, err);

	*names = roster->kinds[type].names;
	return r;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, *(char *const *)b);
}

/* `*found` is NULL where there is none. */
static int entry_find(struct roster *roster, enum vars_member_type type, const char *name,
		      struct entry **found, struct error *err)
{
	const struct kind_entries *list = &roster->kinds[type];
	int r = kind_list(roster, type, err);
	char **at = NULL;

	if (r == 0 && list->count > 0)
		at = bsearch(name, list->names, list->count, sizeof(char *), name_compare);
	*found = at ? &list->entries[at - list->names] : NULL;
	return r;
}

int roster_has(struct roster *roster, enum vars_member_type type, const char *name,
	       struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = entry_find(roster, type, name, &entry, err);

	if (r < 0 || !entry || type != VARS_GROUP)
		return r < 0 ? r : entry != NULL;
	/* A group goes with its last member. */
	r = roster_keys(roster, type, name, &keys, err);
	return r < 0 ? r : entry->members > 0;
}

/* A group's members are machines and users. */
static const enum vars_member_type member_kinds[] = {VARS_MACHINE, VARS_USER};

#define MEMBER_KINDS (sizeof(member_kinds) / sizeof(member_kinds[0]))

/* Those in the group that count. The caller frees the names with config_texts_free(). */
static int group_members(struct roster *roster, const char *group, enum vars_member_type type,
			 char ***names, struct error *err)
{
	int r = vars_group_members(roster->store_dirfd, group, type, names, err);
	char **kept = *names;

	for (char **name = *names; name && *name; name++) {
		int there = r < 0 ? r : roster_has(roster, type, *name, err);

		if (there > 0 && !is_departing(roster->exclude, type, *name, group))
			*kept++ = *name;
		else
			free(*name);
		r = there < 0 ? there : 0;
	}
	if (kept)
		*kept = NULL;
	return r;
}

static int member_add(struct roster *roster, enum vars_member_type type, const char *name,
		      struct entry *group, struct error *err)
{
	const struct sops_key_group *own = NULL;
	int r = roster_keys(roster, type, name, &own, err);

	for (size_t i = 0; r == 0 && i < own->count; i++)
		r = sops_key_group_add(&group->keys, own->keys[i].type,
				       span_of_text(own->keys[i].text), err);
	group->members++;
	return r;
}

static int group_read(struct roster *roster, const char *name, struct entry *group,
		      struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < MEMBER_KINDS; i++) {
		char **names = NULL;

		r = group_members(roster, name, member_kinds[i], &names, err);
		for (char **member = names; r == 0 && member && *member; member++)
			r = member_add(roster, member_kinds[i], *member, group, err);
		config_texts_free(names);
	}
	return r;
}

static int no_group(const char *group, struct error *err)
{
	error_set(err, VMCRED_MISSING, "there is no group %s", group);
	return error_hint(err, "`vmcred group add %s --user NAME` makes it", group);
}

static bool entry_is_read(struct roster *roster, const struct entry *entry)
{
	bool is_read;

	pthread_mutex_lock(&roster->lock);
	is_read = entry->is_read;
	pthread_mutex_unlock(&roster->lock);
	return is_read;
}

/* Where two threads have read the same, the first one's stays: it may be in use already. */
static void entry_fill(struct roster *roster, struct entry *entry, struct entry *read)
{
	pthread_mutex_lock(&roster->lock);
	if (!entry->is_read) {
		entry->keys = read->keys;
		entry->members = read->members;
		read->keys = (struct sops_key_group){0};
		entry->is_read = true;
	}
	pthread_mutex_unlock(&roster->lock);
}

static int entry_read(struct roster *roster, enum vars_member_type type, const char *name,
		      struct entry *entry, struct error *err)
{
	struct entry read = {0};
	int r = type == VARS_GROUP
			? group_read(roster, name, &read, err)
			: store_key_read(roster->store_dirfd, type, name, &read.keys, err);

	if (r == 0)
		entry_fill(roster, entry, &read);
	sops_key_group_destroy(&read.keys);
	return r;
}

int roster_keys(struct roster *roster, enum vars_member_type type, const char *name,
		const struct sops_key_group **keys, struct error *err)
{
	struct entry *entry = NULL;
	int r = entry_find(roster, type, name, &entry, err);

	if (r == 0 && !entry)
		return type == VARS_GROUP ? no_group(name, err) : store_no_key(type, name, err);
	if (r == 0 && !entry_is_read(roster, entry))
		r = entry_read(roster, type, name, entry, err);
	*keys = entry ? &entry->keys : NULL;
	return r;
}

static int keys_gpg_check(enum vars_member_type type, const char *name,
			  const struct sops_key_group *keys, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < keys->count; i++) {
		const struct sops_key *key = &keys->keys[i];

		if (key->type != SOPS_KEY_PGP)
			continue;
		r = sops_gpg_key_check(sops_gpg(), key->text, err);
		if (r < 0) {
			error_wrap(err, "the PGP key %s of the %s %s in sops/%s/%s/key.json",
				   key->text, vars_member_type_name(type), name,
				   store_kind_directory(type), name);
			error_hint(err,
				   "bring it to gpg, with `gpg --import FILE` or `gpg --recv-keys "
				   "%s`",
				   key->text);
		}
	}
	return r;
}

/* Called with the lock for gpg. */
static int entry_gpg_check(struct roster *roster, enum vars_member_type type, const char *name,
			   struct error *err);

static int group_gpg_check(struct roster *roster, const char *group, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < MEMBER_KINDS; i++) {
		char **names = NULL;

		r = group_members(roster, group, member_kinds[i], &names, err);
		for (char **name = names; r == 0 && name && *name; name++)
			r = entry_gpg_check(roster, member_kinds[i], *name, err);
		config_texts_free(names);
	}
	return r;
}

static int entry_gpg_check(struct roster *roster, enum vars_member_type type, const char *name,
			   struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = entry_find(roster, type, name, &entry, err);

	if (r == 0)
		r = roster_keys(roster, type, name, &keys, err);
	if (r < 0 || !entry || entry->gpg_has_keys)
		return r;
	r = type == VARS_GROUP ? group_gpg_check(roster, name, err)
			       : keys_gpg_check(type, name, keys, err);
	entry->gpg_has_keys = r == 0;
	return r;
}

static bool have_pgp(const struct sops_key_group *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->keys[i].type == SOPS_KEY_PGP)
			return true;
	}
	return false;
}

int roster_gpg_check(struct roster *roster, enum vars_member_type type, const char *name,
		     struct error *err)
{
	const struct sops_key_group *keys = NULL;
	int r = roster_keys(roster, type, name, &keys, err);

	if (r < 0 || !keys || !have_pgp(keys))
		return r;
	pthread_mutex_lock(&roster->gpg_lock);
	r = entry_gpg_check(roster, type, name, err);
	pthread_mutex_unlock(&roster->gpg_lock);
	return r;
}
