/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/terminal.h"
#include "vars/vars.h"

struct loading {
	const char *given;
	struct age_identities identities;
};

int cli_identities_load(const char *given, struct age_identities *identities, struct error *err)
{
	const char *path = given;
	int r;

	/* An SSH key or a list of keys may be encrypted; a plugin may want a PIN. */
	identities->prompt = &terminal_prompt;
	if (!path)
		path = getenv("SOPS_AGE_KEY_FILE");
	if (!path && access(CLI_IDENTITY_PATH, F_OK) < 0 &&
	    access(CLI_IDENTITY_PATH_SOPS_NIX, F_OK) == 0)
		path = CLI_IDENTITY_PATH_SOPS_NIX;
	if (!path)
		path = CLI_IDENTITY_PATH;
	r = age_identity_file_load(AT_FDCWD, path, identities, err);
	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "name the machine's identity file with --identity FILE");
	return r;
}

static int loading_identities(const struct age_identities **identities, void *data,
			      struct error *err)
{
	struct loading *loading = data;

	*identities = &loading->identities;
	return cli_identities_load(loading->given, &loading->identities, err);
}

int cli_writer_find(const struct config *config, int store_dirfd, const char *given, char **writer,
		    struct error *err)
{
	struct loading loading = {.given = given};
	int r = vars_writer_find(config, store_dirfd, loading_identities, &loading, writer, err);

	age_identities_destroy(&loading.identities);
	return r;
}
