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
	const struct vars_departing *departing; /* or NULL */
	pthread_mutex_t gpg_lock;               /* while gpg is asked: one thread asks for all */
	pthread_mutex_t lock; /* of all below, and of nothing slow but listing a folder */
	struct kind_entries kinds[STORE_KINDS];
};

int roster_create(int store_dirfd, const struct vars_departing *departing, struct roster **roster,
		  struct error *err)
{
	struct roster *new = calloc(1, sizeof(*new));

	if (!new)
		return error_no_memory(err);
	new->store_dirfd = store_dirfd;
	new->departing = departing;
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->gpg_lock, NULL);
	*roster = new;
	return 0;
}

void roster_destroy(struct roster **roster)
{
	if (!*roster)
		return;
	for (size_t i = 0; i < STORE_KINDS; i++) {
		struct kind_entries *kind = &(*roster)->kinds[i];

		for (size_t j = 0; j < kind->count; j++)
			sops_key_group_destroy(&kind->entries[j].keys);
		free(kind->entries);
		config_texts_free(kind->names);
	}
	pthread_mutex_destroy(&(*roster)->lock);
	pthread_mutex_destroy(&(*roster)->gpg_lock);
	free(*roster);
	*roster = NULL;
}

/* Whether it is who departs: altogether, or out of the group (which may be NULL). */
static bool is_departing(const struct vars_departing *departing, enum store_kind kind,
			 const char *name, const char *group)
{
	return departing && departing->name && departing->kind == kind &&
	       strcmp(departing->name, name) == 0 &&
	       (!departing->group || (group && strcmp(departing->group, group) == 0));
}

static void departing_remove(const struct vars_departing *departing, enum store_kind kind,
			     char **names)
{
	size_t kept = 0;

	for (size_t i = 0; names && names[i]; i++) {
		if (is_departing(departing, kind, names[i], NULL))
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	if (names)
		names[kept] = NULL;
}

static int names_read(struct roster *roster, enum store_kind which, struct error *err)
{
	struct kind_entries *kind = &roster->kinds[which];
	int r = vars_members_list(roster->store_dirfd, which, &kind->names, err);

	if (r < 0)
		return r;
	departing_remove(roster->departing, which, kind->names);
	kind->count = config_texts_count(kind->names);
	kind->entries = calloc(kind->count + 1, sizeof(*kind->entries));
	if (!kind->entries) {
		config_texts_free(pointer_release(&kind->names));
		kind->count = 0;
		return error_no_memory(err);
	}
	kind->is_listed = true;
	return 0;
}

/* Once it is listed, only the entries change. */
static int kind_list(struct roster *roster, enum store_kind which, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&roster->lock);
	if (!roster->kinds[which].is_listed)
		r = names_read(roster, which, err);
	pthread_mutex_unlock(&roster->lock);
	return r;
}

int roster_names(struct roster *roster, enum store_kind kind, char *const **names,
		 struct error *err)
{
	int r = kind_list(roster, kind, err);

	*names = roster->kinds[kind].names;
	return r;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, *(char *const *)b);
}

/* `*found` is NULL where there is none. */
static int entry_find(struct roster *roster, enum store_kind which, const char *name,
		      struct entry **found, struct error *err)
{
	const struct kind_entries *kind = &roster->kinds[which];
	int r = kind_list(roster, which, err);
	char **at = NULL;

	if (r == 0 && kind->count > 0)
		at = bsearch(name, kind->names, kind->count, sizeof(char *), name_compare);
	*found = at ? &kind->entries[at - kind->names] : NULL;
	return r;
}

int roster_has(struct roster *roster, enum store_kind kind, const char *name, struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = entry_find(roster, kind, name, &entry, err);

	if (r < 0 || !entry || kind != STORE_GROUPS)
		return r < 0 ? r : entry != NULL;
	/* A group goes with its last member. */
	r = roster_keys(roster, kind, name, &keys, err);
	return r < 0 ? r : entry->members > 0;
}

/* A group's members are machines and users. */
static const enum store_kind member_kinds[] = {STORE_MACHINES, STORE_USERS};

#define MEMBER_KINDS (sizeof(member_kinds) / sizeof(member_kinds[0]))

/* Those in the group that count. The caller frees the names with config_texts_free(). */
static int group_members(struct roster *roster, const char *group, enum store_kind kind,
			 char ***names, struct error *err)
{
	int r = vars_group_members(roster->store_dirfd, group, kind, names, err);
	char **kept = *names;

	for (char **name = *names; name && *name; name++) {
		int there = r < 0 ? r : roster_has(roster, kind, *name, err);

		if (there > 0 && !is_departing(roster->departing, kind, *name, group))
			*kept++ = *name;
		else
			free(*name);
		r = there < 0 ? there : 0;
	}
	if (kept)
		*kept = NULL;
	return r;
}

static int member_add(struct roster *roster, enum store_kind kind, const char *name,
		      struct entry *group, struct error *err)
{
	const struct sops_key_group *own = NULL;
	int r = roster_keys(roster, kind, name, &own, err);

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

static int entry_read(struct roster *roster, enum store_kind kind, const char *name,
		      struct entry *entry, struct error *err)
{
	struct entry read = {0};
	int r = kind == STORE_GROUPS
			? group_read(roster, name, &read, err)
			: store_key_read(roster->store_dirfd, kind, name, &read.keys, err);

	if (r == 0)
		entry_fill(roster, entry, &read);
	sops_key_group_destroy(&read.keys);
	return r;
}

int roster_keys(struct roster *roster, enum store_kind kind, const char *name,
		const struct sops_key_group **keys, struct error *err)
{
	struct entry *entry = NULL;
	int r = entry_find(roster, kind, name, &entry, err);

	if (r == 0 && !entry)
		return kind == STORE_GROUPS ? no_group(name, err) : store_no_key(kind, name, err);
	if (r == 0 && !entry_is_read(roster, entry))
		r = entry_read(roster, kind, name, entry, err);
	*keys = entry ? &entry->keys : NULL;
	return r;
}

static int keys_gpg_check(enum store_kind kind, const char *name, const struct sops_key_group *keys,
			  struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < keys->count; i++) {
		const struct sops_key *key = &keys->keys[i];

		if (key->type != SOPS_KEY_PGP)
			continue;
		r = sops_gpg_key_check(sops_gpg(), key->text, err);
		if (r < 0) {
			error_wrap(err, "the PGP key %s of the %s %s in sops/%s/%s/key.json",
				   key->text, store_kind_word(kind), name,
				   store_kind_directory(kind), name);
			error_hint(err,
				   "bring it to gpg, with `gpg --import FILE` or `gpg --recv-keys "
				   "%s`",
				   key->text);
		}
	}
	return r;
}

/* Called with the lock for gpg. */
static int entry_gpg_check(struct roster *roster, enum store_kind kind, const char *name,
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

static int entry_gpg_check(struct roster *roster, enum store_kind kind, const char *name,
			   struct error *err)
{
	const struct sops_key_group *keys = NULL;
	struct entry *entry = NULL;
	int r = entry_find(roster, kind, name, &entry, err);

	if (r == 0)
		r = roster_keys(roster, kind, name, &keys, err);
	if (r < 0 || !entry || entry->gpg_has_keys)
		return r;
	r = kind == STORE_GROUPS ? group_gpg_check(roster, name, err)
				 : keys_gpg_check(kind, name, keys, err);
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

int roster_gpg_check(struct roster *roster, enum store_kind kind, const char *name,
		     struct error *err)
{
	const struct sops_key_group *keys = NULL;
	int r = roster_keys(roster, kind, name, &keys, err);

	if (r < 0 || !keys || !have_pgp(keys))
		return r;
	pthread_mutex_lock(&roster->gpg_lock);
	r = entry_gpg_check(roster, kind, name, err);
	pthread_mutex_unlock(&roster->gpg_lock);
	return r;
}
