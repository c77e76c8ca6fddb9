/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's own key, kept in the store as clan does it: sops/secrets/<machine>-age.key/secret,
 * encrypted to the users, so that a machine can be set up again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/name.h"
#include "vars/roster.h"

#define KEY_SUFFIX "-age.key"

bool store_machine_key_cut(char *secret)
{
	const size_t length = strlen(secret), suffix = strlen(KEY_SUFFIX);

	if (length <= suffix || strcmp(secret + length - suffix, KEY_SUFFIX) != 0)
		return false;
	secret[length - suffix] = '\0';
	return true;
}

static int key_seal(int store_dirfd, const char *machine, const struct access *access,
		    const struct sops_key_group *keys, struct span plaintext, struct error *err)
{
	const struct sops_keyring keyring = {.gpg = sops_gpg()};
	_cleanup_free_ char *folder = NULL;
	_cleanup_secret_ struct secret document = {0};
	_cleanup_close_ int dirfd = -1;
	int r = sops_binary_encrypt(plaintext, keys, &keyring, &document, err);

	if (r < 0)
		return r;
	if (asprintf(&folder, "sops/secrets/%s" KEY_SUFFIX, machine) < 0) {
		folder = NULL;
		return error_no_memory(err);
	}
	dirfd = dir_make(store_dirfd, folder, 0755, err);
	if (dirfd < 0)
		return dirfd;
	return access_place(store_dirfd, dirfd, folder, STORE_UP_MACHINE_KEY, access,
			    secret_span(&document), err);
}

/* Whether the machine has a key, which is not replaced without being told to. */
static int key_check(int store_dirfd, const char *machine, bool force, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	int r = store_name_check("machine", machine, err);

	if (r < 0 || force)
		return r;
	r = store_key_read(store_dirfd, VARS_MACHINE, machine, &keys, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	return r < 0 ? r : 1;
}

int vars_machine_key_make(const struct config *config, int store_dirfd, const char *machine,
			  const char *writer, bool force, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_access_keys_ struct sops_key_group keys = {0};
	_cleanup_access_ struct access access = {0};
	_cleanup_roster_ struct roster *roster = NULL;
	_cleanup_secret_ struct secret text = {0};
	int r = key_check(store_dirfd, machine, force, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = roster_create(store_dirfd, NULL, &roster, err);
	if (r == 0)
		r = access_declared(config, roster, NULL, writer, &access, err);
	if (r == 0)
		r = access_keys(&access, roster, &keys, err);
	if (r == 0)
		r = access_gpg_check(&access, roster, err);
	if (r < 0)
		return r;
	if (keys.count == 0) {
		error_set(err, VMCRED_USAGE, "there is no user who could keep the key of %s",
			  machine);
		return error_hint(err,
				  "`vmcred user add NAME --age-key KEY` makes one, `vmcred "
				  "keygen --machine %s --output FILE` a key outside of the "
				  "store",
				  machine);
	}
	r = age_identities_generate(&identities, err);
	if (r == 0)
		r = age_identity_file_format(identities.items[0], time(NULL), &text, err);
	/* The private half first: a public one without it would be for nobody. */
	if (r == 0)
		r = key_seal(store_dirfd, machine, &access, &keys, secret_span(&text), err);
	return r < 0 ? r
		     : vars_machine_key_add(store_dirfd, machine,
					    age_identity_recipient(identities.items[0]), force,
					    err);
}
