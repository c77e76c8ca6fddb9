/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/terminal.h"
#include "vars/vars.h"

#define PERSONAL_NAME "sops/age/keys.txt"

static const char *const machine_paths[] = {CLI_IDENTITY_PATH, CLI_IDENTITY_PATH_SOPS_NIX};

struct loading {
	const char *given;
	struct age_identities identities;
};

/* Where sops and clan keep a person's. NULL where there is no such folder, or no memory. */
static char *personal_path(void)
{
	const char *configuration = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int size = -1;

	if (configuration && configuration[0])
		size = asprintf(&path, "%s/" PERSONAL_NAME, configuration);
	else if (home && home[0])
		size = asprintf(&path, "%s/.config/" PERSONAL_NAME, home);
	return size < 0 ? NULL : path;
}

/* What is given, or a machine's; NULL: none is there that may be read. */
static const char *machine_path(const char *given)
{
	const char *path = given ? given : getenv("SOPS_AGE_KEY_FILE");

	/* A person who administers a machine may not read the machine's. */
	for (size_t i = 0; !path && i < sizeof(machine_paths) / sizeof(machine_paths[0]); i++) {
		if (access(machine_paths[i], R_OK) == 0)
			path = machine_paths[i];
	}
	return path;
}

const char *cli_machine_identity_path(const char *given)
{
	const char *path = machine_path(given);

	return path ? path : CLI_IDENTITY_PATH;
}

int cli_identities_load(const char *given, struct age_identities *identities, struct error *err)
{
	_cleanup_free_ char *personal = NULL;
	const char *path = machine_path(given);
	int r;

	/* An SSH key or a list of keys may be encrypted; a plugin may want a PIN. */
	identities->prompt = &terminal_prompt;
	if (!path)
		personal = personal_path();
	if (personal && access(personal, R_OK) == 0)
		path = personal;
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
