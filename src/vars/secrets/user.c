/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling user: the keys that open secrets, and the user's name in the store. Age keys are in
 * identity files; PGP keys are in gpg, and a user with one needs no identity.
 */
#include <string.h>

#include "vars/secrets/secrets.h"

int keyring_load(bool has_pgp, vars_identities_fn identities, void *data,
		 struct sops_keyring *keyring, struct error *err)
{
	const struct age_identities *loaded = NULL;
	int r = identities(&loaded, data, err);

	if (r == -(int)VMCRED_MISSING && has_pgp) {
		error_clear(err);
		loaded = NULL;
		r = 0;
	}
	if (r == 0)
		*keyring = (struct sops_keyring){.identities = loaded, .gpg = sops_gpg()};
	return r;
}

/* True if the document cannot be read: reading its value reports the reason. */
static bool may_have_pgp(int store_dirfd, const struct vars_location *location)
{
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	_cleanup_error_ struct error ignored = {0};

	return stored_secret_open(store_dirfd, location, false, &stored, &ignored) < 0 ||
	       stored_secret_read(&stored, &ignored) < 0 || stored_secret_has_pgp(&stored);
}

int vars_keyring_load(int store_dirfd, const struct vars_location *location,
		      vars_identities_fn identities, void *data, struct sops_keyring *keyring,
		      struct error *err)
{
	int r = keyring_load(false, identities, data, keyring, err);

	if (r != -(int)VMCRED_MISSING || !may_have_pgp(store_dirfd, location))
		return r;
	error_clear(err);
	*keyring = (struct sops_keyring){.gpg = sops_gpg()};
	return 0;
}

bool keys_include_identity(const struct sops_key_group *keys,
			   const struct age_identities *identities)
{
	for (size_t i = 0; i < keys->count; i++) {
		for (size_t j = 0; j < identities->count; j++) {
			const char *recipient = age_identity_recipient(identities->items[j]);
			const size_t size = strlen(recipient);
			const char *key = keys->keys[i].text;

			/* An SSH key in the store may have a comment. */
			if (strncmp(key, recipient, size) == 0 &&
			    (key[size] == '\0' || key[size] == ' '))
				return true;
		}
	}
	return false;
}

static bool gpg_has_key(const struct sops_key_group *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->keys[i].type == SOPS_KEY_PGP &&
		    sops_gpg_has_secret(sops_gpg(), keys->keys[i].text))
			return true;
	}
	return false;
}

/* Finds the first user with the key of an identity or, without identities, a key that gpg has. */
static int writer_search(int store_dirfd, const struct strings *users,
			 const struct age_identities *identities, char **writer, struct error *err)
{
	for (size_t i = 0; !*writer && i < users->count; i++) {
		_cleanup_sops_key_group_ struct sops_key_group keys = {0};
		int r = member_keys_read(store_dirfd, VARS_USER, users->items[i], &keys, err);

		if (r < 0)
			return r;
		if (!(identities ? keys_include_identity(&keys, identities) : gpg_has_key(&keys)))
			continue;
		*writer = strdup(users->items[i]);
		if (!*writer)
			return error_no_memory(err);
	}
	return 0;
}

int vars_writer_find(const struct config *config, int store_dirfd, vars_identities_fn identities,
		     void *data, char **writer, struct error *err)
{
	_cleanup_strings_ struct strings users = {0};
	_cleanup_error_ struct error not_loaded = {0};
	const struct age_identities *own = NULL;
	int loaded, r;

	*writer = NULL;
	if (!config->default_groups || config->default_groups[0])
		return 0;
	loaded = identities(&own, data, &not_loaded);
	if (loaded == 0 || loaded == -(int)VMCRED_MISSING) {
		r = vars_members_list(store_dirfd, VARS_USER, &users, err);
		if (r == 0 && loaded == 0)
			r = writer_search(store_dirfd, &users, own, writer, err);
		/* gpg last, because it must be started. */
		if (r == 0)
			r = writer_search(store_dirfd, &users, NULL, writer, err);
		if (r < 0 || *writer)
			return r;
	}
	if (loaded < 0) {
		*err = not_loaded;
		not_loaded = (struct error){0};
		return loaded;
	}
	error_set(err, VMCRED_USAGE, "no user of the store has this identity's key");
	return error_hint(err, "`defaultGroups: []` encrypts secrets to the user who creates them: "
			       "`vmcred user add NAME --age-key KEY` registers one");
}
