/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's own key, stored as in clan and encrypted to the users, so that the machine can be
 * installed again.
 */
#include <time.h>

#include "base/name.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

/* Encrypts it to the users and the writer, and stores it. Without it, only checks the readers. */
static int private_key_write(const struct config *config, int store_dirfd, const char *machine,
			     const char *writer, const struct sops_key_group *public_keys,
			     struct span plaintext, struct error *err)
{
	/* It may be in a default group. */
	const struct vars_member_change change = {
		.type = VARS_MACHINE, .name = machine, .keys = public_keys};
	const struct vars_location location = {.machine = machine};
	const struct sops_keyring keyring = {.gpg = sops_gpg()};
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	_cleanup_readers_ struct readers readers = {0};
	_cleanup_readers_keys_ struct sops_key_group keys = {0};
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	_cleanup_secret_ struct secret document = {0};
	int r = member_cache_create(store_dirfd, &change, public_keys->count > 0, &cache, err);

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
	if (plaintext.size == 0)
		return 0;
	r = stored_secret_open(store_dirfd, &location, true, &stored, err);
	if (r == 0)
		r = sops_binary_encrypt(plaintext, stored.path, &keys, &keyring, &document, err);
	return r < 0 ? r
		     : secret_write(store_dirfd, stored.dirfd, stored.path,
				    store_links_up(&location), &readers, secret_span(&document),
				    err);
}

int vars_machine_key_make(const struct config *config, int store_dirfd, const char *machine,
			  const char *writer, const struct age_identity *key, struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group public_keys = {0};
	_cleanup_secret_ struct secret text = {0};
	int r = store_name_check("machine", machine, err);

	if (r == 0 && key)
		r = vars_key_add(&public_keys, SOPS_KEY_AGE, age_identity_recipient(key), err);
	if (r == 0 && key)
		r = age_identity_file_format(key, time(NULL), &text, err);
	/* The private half first: nobody could use a public key without it. */
	if (r == 0)
		r = private_key_write(config, store_dirfd, machine, writer, &public_keys,
				      secret_span(&text), err);
	return r < 0 || !key ? r
			     : vars_machine_key_add(store_dirfd, machine,
						    age_identity_recipient(key), true, err);
}
