/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's own key, stored as in clan and encrypted to the users, so that the machine can be
 * installed again.
 */
#include <time.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* Encrypts it to the users and the writer, and stores it. */
static int private_key_write(const struct config *config, int store_dirfd, const char *machine,
			     const char *writer, struct span plaintext, struct error *err)
{
	const struct vars_location location = {.machine = machine};
	const struct sops_keyring keyring = {.gpg = sops_gpg()};
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	_cleanup_readers_ struct readers readers = {0};
	_cleanup_readers_keys_ struct sops_key_group keys = {0};
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	_cleanup_secret_ struct secret document = {0};
	int r = member_cache_create(store_dirfd, NULL, &cache, err);

	if (r == 0)
		r = readers_add_declared(config, cache, NULL, writer, &readers, err);
	if (r == 0)
		r = readers_keys(&readers, cache, &keys, err);
	if (r == 0)
		r = readers_gpg_check(&readers, cache, err);
	if (r < 0)
		return r;
	if (keys.count == 0) {
		error_set(err, VMCRED_USAGE, "no recipients for the key of %s: there are no users",
			  machine);
		return error_hint(err,
				  "`vmcred user add NAME --age-key KEY` registers one, `vmcred "
				  "keygen --machine %s --output FILE` creates a key outside the "
				  "store",
				  machine);
	}
	r = stored_secret_open(store_dirfd, &location, true, &stored, err);
	if (r == 0)
		r = sops_binary_encrypt(plaintext, stored.path, &keys, &keyring, &document, err);
	return r < 0 ? r
		     : secret_write(store_dirfd, stored.dirfd, stored.path,
				    store_links_up(&location), &readers, secret_span(&document),
				    err);
}

int vars_machine_key_make(const struct config *config, int store_dirfd, const char *machine,
			  const char *writer, bool force, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group registered = {0};
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_secret_ struct secret text = {0};
	int r = store_name_check("machine", machine, err);

	if (r == 0 && !force) {
		r = member_keys_read(store_dirfd, VARS_MACHINE, machine, &registered, err);
		if (r != -(int)VMCRED_MISSING)
			return r;
		error_clear(err);
		r = 0;
	}
	if (r == 0)
		r = age_identities_generate(&identities, AGE_X25519, err);
	if (r == 0)
		r = age_identity_file_format(identities.items[0], time(NULL), &text, err);
	/* The private half first: nobody could use a public key without it. */
	if (r == 0)
		r = private_key_write(config, store_dirfd, machine, writer, secret_span(&text),
				      err);
	if (r == 0)
		r = vars_machine_key_add(store_dirfd, machine,
					 age_identity_recipient(identities.items[0]), force, err);
	return r;
}
