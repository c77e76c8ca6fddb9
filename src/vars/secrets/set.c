/* SPDX-License-Identifier: Apache-2.0 */
#include "vars/check/check.h"
#include "vars/secrets/secrets.h"
#include "vars/store/store.h"

static int value_store(const struct config *config, int store_dirfd,
		       const struct vars_location *location, const char *writer,
		       struct span plaintext, struct error *err)
{
	_cleanup_stored_secret_ struct stored_secret stored = STORED_SECRET_NONE;
	_cleanup_member_cache_ struct member_cache *cache = NULL;
	const struct sops_keyring keyring = {.gpg = sops_gpg()};
	_cleanup_secret_ struct secret document = {0};
	int r = stored_secret_open(store_dirfd, location, true, &stored, err);

	if (r < 0)
		return r;
	if (!location->file->secret)
		return store_file_replace(store_dirfd, stored.dirfd, "value", stored.path,
					  plaintext, err);
	r = member_cache_create(store_dirfd, NULL, 0, &cache, err);
	if (r == 0)
		r = stored_secret_find_readers(config, cache, location, writer, &stored, err);
	if (r == 0 && stored.keys.count == 0)
		r = error_set(err, VMCRED_USAGE, "%s: no recipients", stored.path);
	if (r == 0 && readers_gpg_check(&stored.correct, cache, err) < 0)
		r = error_wrap(err, "%s", stored.path);
	if (r == 0)
		r = sops_binary_encrypt(plaintext, stored.path, &stored.keys, &keyring, &document,
					err);
	return r < 0 ? r
		     : secret_write(store_dirfd, stored.dirfd, stored.path,
				    store_links_up(location), &stored.correct,
				    secret_span(&document), err);
}

int vars_set(const struct config *config, int store_dirfd, const struct vars_location *location,
	     const char *writer, struct span plaintext, struct error *err)
{
	int r = value_store(config, store_dirfd, location, writer, plaintext, err);

	return r < 0 ? r
		     : validation_settle(store_dirfd, location->machine, location->generator, err);
}
