/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/name.h"
#include "vars/store.h"

static int names_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the copy over. */
static int names_append(char ***names, size_t count, char *copy, struct error *err)
{
	char **larger = copy ? reallocarray(*names, count + 2, sizeof(char *)) : NULL;

	if (!larger) {
		free(copy);
		return error_no_memory(err);
	}
	*names = larger;
	larger[count] = copy;
	larger[count + 1] = NULL;
	return 0;
}

int store_names_list(int dirfd, const char *folder, char ***names, struct error *err)
{
	_cleanup_close_dir_ DIR *dir = dir_stream_open(dirfd, folder);
	const char *entry;
	size_t count = 0;
	int r = 0;

	*names = NULL;
	if (!dir && errno != ENOENT)
		return error_set_errno(err, errno, "listing %s", folder);
	while (r == 0 && dir && (entry = dir_stream_next(dir))) {
		if (entry[0] == '.')
			continue;
		r = store_name_check(folder, entry, err);
		if (r == 0)
			r = names_append(names, count++, strdup(entry), err);
	}
	if (*names)
		qsort(*names, count, sizeof(char *), names_compare);
	return r;
}

int access_read(int secret_dirfd, struct access *access, struct error *err)
{
	int r = 0;

	for (int kind = 0; r == 0 && kind < STORE_KINDS; kind++)
		r = store_names_list(secret_dirfd, store_kind_folder((enum store_kind)kind),
				     &access->names[kind], err);
	return r;
}

bool access_has(const struct access *access, enum store_kind kind, const char *name)
{
	for (char **entry = access->names[kind]; entry && *entry; entry++) {
		if (strcmp(*entry, name) == 0)
			return true;
	}
	return false;
}

int access_add(struct access *access, enum store_kind kind, const char *name, struct error *err)
{
	size_t count = config_texts_count(access->names[kind]);
	int r;

	if (access_has(access, kind, name))
		return 0;
	r = names_append(&access->names[kind], count, strdup(name), err);
	if (r == 0)
		qsort(access->names[kind], count + 1, sizeof(char *), names_compare);
	return r;
}

int access_declared(const struct config *config, int store_dirfd, char *const *machines,
		    const char *writer, struct access *access, struct error *err)
{
	char *const *groups = config->default_groups;
	int r = 0;

	for (; r == 0 && machines && *machines; machines++)
		r = access_add(access, STORE_MACHINES, *machines, err);
	for (; r == 0 && groups && *groups; groups++)
		r = access_add(access, STORE_GROUPS, *groups, err);
	if (r == 0 && writer)
		r = access_add(access, STORE_USERS, writer, err);
	if (r == 0 && !config->default_groups)
		r = store_names_list(store_dirfd, "sops/users", &access->names[STORE_USERS], err);
	return r;
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
	for (int kind = 0; kind < STORE_KINDS; kind++) {
		if (!texts_equal(a->names[kind], b->names[kind]))
			return false;
	}
	return true;
}

void access_destroy(struct access *access)
{
	for (int kind = 0; kind < STORE_KINDS; kind++)
		config_texts_free(access->names[kind]);
	*access = (struct access){0};
}

/* Moves those over that are not there yet. */
static int recipients_unite(struct age_recipients *to, const struct age_recipients *from,
			    struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->count; i++) {
		const char *text = age_recipient_text(from->items[i]);
		size_t j = 0;

		while (j < to->count && strcmp(age_recipient_text(to->items[j]), text) != 0)
			j++;
		if (j == to->count)
			r = age_recipients_add(to, span_of_text(text), err);
	}
	return r;
}

static int members_recipients(int store_dirfd, enum store_kind kind, char *const *names,
			      struct age_recipients *recipients, struct error *err)
{
	int r = 0;

	for (; r == 0 && names && *names; names++) {
		_cleanup_age_recipients_ struct age_recipients own = {0};

		r = store_key_read(store_dirfd, kind, *names, &own, err);
		if (r == 0)
			r = recipients_unite(recipients, &own, err);
	}
	return r;
}

/* Whether it is who departs: altogether, or out of the group (which may be NULL). */
static bool is_departing(const struct vars_departing *departing, enum store_kind kind,
			 const char *name, const char *group)
{
	return departing && departing->name && departing->kind == kind &&
	       strcmp(departing->name, name) == 0 &&
	       (!departing->group || (group && strcmp(departing->group, group) == 0));
}

static bool member_counts(int store_dirfd, enum store_kind kind, const char *name,
			  const char *group, const struct vars_departing *departing)
{
	_cleanup_free_ char *path = store_member_path(kind, name);

	if (is_departing(departing, kind, name, group))
		return false;
	/* Without memory for the path, or where it cannot be looked at, the next step fails. */
	return !path || faccessat(store_dirfd, path, F_OK, 0) == 0 ||
	       (errno != ENOENT && errno != ENOTDIR);
}

bool access_counts(int store_dirfd, enum store_kind kind, const char *name,
		   const struct vars_departing *departing)
{
	return member_counts(store_dirfd, kind, name, NULL, departing);
}

/* The group's members that count: a member that is not there any more gives nothing to anybody, and
 * clan leaves such links behind. */
static int group_members(int store_dirfd, const char *group, enum store_kind kind,
			 const struct vars_departing *departing, char ***names, struct error *err)
{
	int r = vars_group_members(store_dirfd, group, kind, names, err);
	char **kept = *names;

	for (char **name = *names; name && *name; name++) {
		if (member_counts(store_dirfd, kind, *name, group, departing))
			*kept++ = *name;
		else
			free(*name);
	}
	if (kept)
		*kept = NULL;
	return r;
}

/* Those who can be in a group. */
static const enum store_kind member_kinds[] = {STORE_MACHINES, STORE_USERS};

#define MEMBER_KINDS (sizeof(member_kinds) / sizeof(member_kinds[0]))

int access_group_stays(int store_dirfd, const char *group, const struct vars_departing *departing,
		       struct error *err)
{
	bool stays = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < MEMBER_KINDS; i++) {
		char **names = NULL;

		r = group_members(store_dirfd, group, member_kinds[i], departing, &names, err);
		stays = stays || (names && names[0]);
		config_texts_free(names);
	}
	return r < 0 ? r : stays;
}

static int group_recipients(int store_dirfd, const char *group,
			    const struct vars_departing *departing,
			    struct age_recipients *recipients, struct error *err)
{
	_cleanup_free_ char *path = store_member_path(STORE_GROUPS, group);
	int r = 0;

	if (!path)
		return error_no_memory(err);
	if (faccessat(store_dirfd, path, F_OK, 0) < 0) {
		if (errno != ENOENT)
			return error_set_errno(err, errno, "opening %s", path);
		error_set(err, VMCRED_MISSING, "there is no group %s", group);
		return error_hint(err, "`vmcred group add %s --user NAME` makes it", group);
	}
	for (size_t i = 0; r == 0 && i < MEMBER_KINDS; i++) {
		char **names = NULL;

		r = group_members(store_dirfd, group, member_kinds[i], departing, &names, err);
		if (r == 0)
			r = members_recipients(store_dirfd, member_kinds[i], names, recipients,
					       err);
		config_texts_free(names);
	}
	return r;
}

int access_recipients(int store_dirfd, const struct access *access,
		      const struct vars_departing *departing, struct age_recipients *recipients,
		      struct error *err)
{
	int r = members_recipients(store_dirfd, STORE_MACHINES, access->names[STORE_MACHINES],
				   recipients, err);

	if (r == 0)
		r = members_recipients(store_dirfd, STORE_USERS, access->names[STORE_USERS],
				       recipients, err);
	for (char **group = access->names[STORE_GROUPS]; r == 0 && group && *group; group++)
		r = group_recipients(store_dirfd, *group, departing, recipients, err);
	return r;
}

static int link_write(int dirfd, const char *up, enum store_kind kind, const char *name,
		      struct error *err)
{
	_cleanup_free_ char *target = NULL;

	if (asprintf(&target, "%s/%s/%s", up, store_kind_folder(kind), name) < 0) {
		target = NULL;
		return error_no_memory(err);
	}
	if (symlinkat(target, dirfd, name) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "making the link %s/%s", store_kind_folder(kind),
				       name);
	return 0;
}

/* Links that shall not be there any more. */
static int links_remove(int secret_dirfd, enum store_kind kind, const struct access *access,
			struct error *err)
{
	const char *folder = store_kind_folder(kind);
	_cleanup_close_ int dirfd = -1;
	char **present = NULL;
	int r = store_names_list(secret_dirfd, folder, &present, err);

	if (r == 0 && present) {
		dirfd = dir_open(secret_dirfd, folder, err);
		r = dirfd < 0 ? dirfd : 0;
	}
	for (size_t i = 0; r == 0 && present && present[i]; i++) {
		if (!access_has(access, kind, present[i]) && unlinkat(dirfd, present[i], 0) < 0)
			r = error_set_errno(err, errno, "removing the link %s/%s", folder,
					    present[i]);
	}
	config_texts_free(present);
	if (r < 0)
		return r;
	/* As clan has it, there is no empty folder. */
	if (!access->names[kind] || !access->names[kind][0])
		(void)unlinkat(secret_dirfd, folder, AT_REMOVEDIR);
	return 0;
}

int access_links_add(int secret_dirfd, const char *up, const struct access *access,
		     struct error *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < STORE_KINDS; i++) {
		const enum store_kind kind = (enum store_kind)i;
		_cleanup_close_ int dirfd = -1;

		if (!access->names[kind] || !access->names[kind][0])
			continue;
		dirfd = dir_make(secret_dirfd, store_kind_folder(kind), 0755, err);
		r = dirfd < 0 ? dirfd : 0;
		for (char **name = access->names[kind]; r == 0 && *name; name++)
			r = link_write(dirfd, up, kind, *name, err);
		if (r == 0)
			r = dir_sync(dirfd, store_kind_folder(kind), err);
	}
	return r;
}

int access_links_remove(int secret_dirfd, const struct access *access, struct error *err)
{
	int r = 0;

	for (int kind = 0; r == 0 && kind < STORE_KINDS; kind++)
		r = links_remove(secret_dirfd, (enum store_kind)kind, access, err);
	return r;
}
