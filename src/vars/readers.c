/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Those who may read a secret besides what the declaration says: whom it was given to by a link,
 * and whoever writes it, where nobody is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "vars/store.h"

/* Whether it is there, and will be: 1, 0, or a negative code. A group goes with its last member. */
static int member_stays(int store_dirfd, enum store_kind kind, const char *name,
			const struct vars_departing *departing, struct error *err)
{
	if (!access_counts(store_dirfd, kind, name, departing))
		return 0;
	return kind != STORE_GROUPS ? 1 : access_group_stays(store_dirfd, name, departing, err);
}

int access_keep(int store_dirfd, const struct access *from, enum store_kind kind,
		const struct vars_departing *departing, struct access *to, struct error *err)
{
	int r = 0;

	for (char **name = from->names[kind]; r >= 0 && name && *name; name++) {
		r = member_stays(store_dirfd, kind, *name, departing, err);
		if (r == 1)
			r = access_add(to, kind, *name, err);
	}
	return r < 0 ? r : 0;
}

int access_given(int store_dirfd, int folder_dirfd, const char *folder, struct access *access,
		 struct error *err)
{
	_cleanup_access_ struct access is = {0};
	_cleanup_close_ int dirfd =
		openat(folder_dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dirfd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "opening %s", folder);
	r = access_read(dirfd, &is, err);
	if (r == 0)
		r = access_keep(store_dirfd, &is, STORE_USERS, NULL, access, err);
	return r < 0 ? r : access_keep(store_dirfd, &is, STORE_GROUPS, NULL, access, err);
}

/* An SSH key in the store may have a comment, which an identity does not know. */
static bool is_key_of(const char *recipient, const char *of_identity)
{
	size_t size = strlen(of_identity);

	return strncmp(recipient, of_identity, size) == 0 &&
	       (recipient[size] == '\0' || recipient[size] == ' ');
}

static bool identities_have(const struct age_identities *identities,
			    const struct age_recipients *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		for (size_t j = 0; j < identities->count; j++) {
			if (is_key_of(age_recipient_text(keys->items[i]),
				      age_identity_recipient(identities->items[j])))
				return true;
		}
	}
	return false;
}

/* Returns 1 if the user has the key of an identity. */
static int user_has_key(int store_dirfd, const char *user, const struct age_identities *identities,
			struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients keys = {0};
	int r = store_key_read(store_dirfd, STORE_USERS, user, &keys, err);

	return r < 0 ? r : identities_have(identities, &keys);
}

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
	error_set(err, VMCRED_USAGE, "no user of the store has the key of the identity");
	return error_hint(err, "with `defaultGroups: []` secrets are for the user who makes them: "
			       "`vmcred user add NAME --age-key KEY` registers one");
}

int vars_writer_find(const struct config *config, int store_dirfd, vars_identities_fn identities,
		     void *data, char **writer, struct error *err)
{
	const struct age_identities *own = NULL;
	char **users = NULL;
	int r;

	*writer = NULL;
	if (!config->default_groups || config->default_groups[0])
		return 0;
	r = identities(&own, data, err);
	if (r == 0)
		r = vars_members_list(store_dirfd, STORE_USERS, &users, err);
	if (r == 0)
		r = writer_among(store_dirfd, users, own, writer, err);
	config_texts_free(users);
	return r < 0 ? r : 0;
}
