/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Those who may read a secret besides what the declaration says: whom it was given to by a link,
 * and whoever writes it, where nobody is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "vars/roster.h"

int access_keep(const struct access *from, enum vars_member_type type, struct roster *roster,
		struct access *to, struct error *err)
{
	size_t count = config_texts_count(from->names[type]), kept = 0;
	_cleanup_free_ char **names = calloc(count + 1, sizeof(char *));

	if (!names)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		int r = roster_has(roster, type, from->names[type][i], err);

		if (r < 0)
			return r;
		if (r > 0)
			names[kept++] = from->names[type][i];
	}
	return access_add(to, type, names, err);
}

int access_given(int dirfd, const char *folder, struct roster *roster, struct access *access,
		 struct error *err)
{
	_cleanup_access_ struct access is = {0};
	_cleanup_close_ int secret_dirfd = beneath_open(dirfd, folder, O_RDONLY | O_DIRECTORY);
	int r;

	if (secret_dirfd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "opening %s", folder);
	r = access_read(secret_dirfd, &is, err);
	if (r == 0)
		r = access_keep(&is, VARS_USER, roster, access, err);
	return r < 0 ? r : access_keep(&is, VARS_GROUP, roster, access, err);
}

/* An SSH key in the store may have a comment, which an identity does not know. */
static bool is_key_of(const char *recipient, const char *of_identity)
{
	size_t size = strlen(of_identity);

	return strncmp(recipient, of_identity, size) == 0 &&
	       (recipient[size] == '\0' || recipient[size] == ' ');
}

static bool identities_have(const struct age_identities *identities,
			    const struct sops_key_group *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		for (size_t j = 0; j < identities->count; j++) {
			if (is_key_of(keys->keys[i].text,
				      age_identity_recipient(identities->items[j])))
				return true;
		}
	}
	return false;
}

static bool gpg_has_one(const struct sops_key_group *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->keys[i].type == SOPS_KEY_PGP &&
		    sops_gpg_has_secret(sops_gpg(), keys->keys[i].text))
			return true;
	}
	return false;
}

/* Returns 1 if the user has the key of an identity; without identities, a key that gpg has. */
static int user_has_key(int store_dirfd, const char *user, const struct age_identities *identities,
			struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	int r = store_key_read(store_dirfd, VARS_USER, user, &keys, err);

	if (r < 0)
		return r;
	return identities ? identities_have(identities, &keys) : gpg_has_one(&keys);
}

/* Returns 1 and the first of the users who has the key, 0, or a negative code. */
static int writer_among(int store_dirfd, char *const *users,
			const struct age_identities *identities, char **writer, struct error *err)
{
	for (; users && *users; users++) {
		int r = user_has_key(store_dirfd, *users, identities, err);

		if (r == 0)
			continue;
		*writer = r > 0 ? strdup(*users) : NULL;
		return r > 0 && !*writer ? error_no_memory(err) : r;
	}
	return 0;
}

/* Identities first: gpg is a program that is started. `own` is NULL where there are none. */
static int writer_search(int store_dirfd, const struct age_identities *own, char **writer,
			 struct error *err)
{
	char **users = NULL;
	int r = vars_members_list(store_dirfd, VARS_USER, &users, err);

	if (r == 0 && own)
		r = writer_among(store_dirfd, users, own, writer, err);
	if (r == 0)
		r = writer_among(store_dirfd, users, NULL, writer, err);
	config_texts_free(users);
	return r;
}

static int no_writer(struct error *err)
{
	error_set(err, VMCRED_USAGE, "no user of the store has the key of the identity");
	return error_hint(err, "with `defaultGroups: []` secrets are for the user who makes them: "
			       "`vmcred user add NAME --age-key KEY` registers one");
}

int vars_writer_find(const struct config *config, int store_dirfd, vars_identities_fn identities,
		     void *data, char **writer, struct error *err)
{
	_cleanup_error_ struct error unloaded = {0};
	const struct age_identities *own = NULL;
	int loaded, r = 0;

	*writer = NULL;
	if (!config->default_groups || config->default_groups[0])
		return 0;
	loaded = identities(&own, data, &unloaded);
	if (loaded == 0 || loaded == -(int)VMCRED_MISSING)
		r = writer_search(store_dirfd, loaded == 0 ? own : NULL, writer, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (loaded == 0)
		return no_writer(err);
	*err = unloaded;
	unloaded = (struct error){0};
	return loaded;
}
