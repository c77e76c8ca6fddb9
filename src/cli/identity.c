/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/terminal.h"

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
