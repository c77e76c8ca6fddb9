/* SPDX-License-Identifier: Apache-2.0 */
#include "activate/serve/identity.h"

#include <fcntl.h>

int serve_identity_update(struct serve_identity *identity, const char *path, bool force,
			  struct error *err)
{
	/* Nobody is there to be asked for a passphrase. */
	_cleanup_age_identities_ struct age_identities fresh = {0};
	enum serve_change change = SERVE_CHANGED;
	struct stat file;
	int r;

	/* Where it cannot be looked at, reading it says why. */
	if (stat(path, &file) == 0)
		change = serve_watch_look(&identity->watch, &file);
	if (force)
		change = SERVE_CHANGED;
	if (change == SERVE_SAME)
		return 0;
	r = age_identity_file_load(AT_FDCWD, path, &fresh, err);
	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "name the machine's identity file with --identity FILE");
	if (r < 0) {
		/* What kept it from being read may pass without a change of the file. */
		identity->watch = (struct serve_watch){0};
		return r;
	}
	age_identities_destroy(&identity->identities);
	identity->identities = fresh;
	fresh = (struct age_identities){0};
	return change == SERVE_CHANGED;
}

void serve_identity_release(struct serve_identity *identity)
{
	age_identities_destroy(&identity->identities);
	*identity = (struct serve_identity){0};
}
