/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person opens secrets with. A key of age is an identity file; a key of PGP is in gpg, and
 * whoever has one there needs no identity.
 */
#include "base/cleanup.h"
#include "vars/secret_state.h"

bool store_document_has_pgp(const struct sops_document *document)
{
	const struct sops_policy *policy = sops_document_policy(document);

	for (size_t i = 0; i < policy->group_count; i++) {
		for (size_t j = 0; j < policy->groups[i].count; j++) {
			if (policy->groups[i].keys[j].type == SOPS_KEY_PGP)
				return true;
		}
	}
	return false;
}

int store_keyring_load(bool has_pgp, vars_identities_fn identities, void *data,
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

/* Of what cannot be read it is not known: reading it for its value says why. */
static bool may_be_for_pgp(int store_dirfd, const struct vars_location *location)
{
	_cleanup_secret_state_ struct secret_state state = SECRET_STATE_NONE;
	_cleanup_error_ struct error ignored = {0};

	return secret_state_open(store_dirfd, location, false, &state, &ignored) < 0 ||
	       secret_state_document_read(&state, &ignored) < 0 ||
	       store_document_has_pgp(state.document);
}

int vars_keyring_load(int store_dirfd, const struct vars_location *location,
		      vars_identities_fn identities, void *data, struct sops_keyring *keyring,
		      struct error *err)
{
	int r = store_keyring_load(false, identities, data, keyring, err);

	/* The document is looked at only where it makes a difference. */
	if (r != -(int)VMCRED_MISSING || !may_be_for_pgp(store_dirfd, location))
		return r;
	error_clear(err);
	*keyring = (struct sops_keyring){.gpg = sops_gpg()};
	return 0;
}
