/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"

#define PERSONAL_NAME "sops/age/keys.txt"

#define IDENTITY_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024) /* age's limit */

static const char *const machine_paths[] = {CLI_IDENTITY_PATH, CLI_IDENTITY_PATH_SOPS_NIX};

/* The path of `given`, $SOPS_AGE_KEY_FILE, or a machine's readable identity; NULL: none. */
static const char *machine_path(const char *given)
{
	const char *path = given ? given : getenv("SOPS_AGE_KEY_FILE");

	/* A person who administers a machine may not be allowed to read its identity. */
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

int cli_identities_read(struct age_identities *identities, struct error *err)
{
	static const char what[] = "standard input";
	_cleanup_secret_ struct secret text = {0};
	int r = secret_read(&text, STDIN_FILENO, IDENTITY_FILE_SIZE_MAX, what, err);

	return r < 0 ? r : age_identities_parse(secret_span(&text), what, identities, err);
}

int cli_identities_load(const char *given, const struct report *report,
			struct age_identities *identities, struct error *err)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const char *path = machine_path(given);
	_cleanup_free_ char *personal = NULL;
	int r;

	/* Keys may be encrypted with a passphrase; a plugin may ask for a PIN. */
	identities->prompt = &terminal_prompt;
	identities->report = report;
	if (!path && config && *config)
		personal = text_format("%s/" PERSONAL_NAME, config);
	else if (!path && home && *home)
		personal = text_format("%s/.config/" PERSONAL_NAME, home);
	if (personal && access(personal, R_OK) == 0)
		path = personal;
	r = age_identity_file_load(AT_FDCWD, path ? path : CLI_IDENTITY_PATH, identities, err);
	if (r == -(int)VMCRED_MISSING)
		error_hint(err, "pass the identity file with --identity FILE");
	return r;
}

int cli_identity_get(const struct age_identities **identities, void *data, struct error *err)
{
	struct cli_identity *identity = data;

	*identities = &identity->identities;
	return identity->identities.count > 0
		       ? 0
		       : cli_identities_load(identity->path, identity->report,
					     &identity->identities, err);
}

int cli_writer_find(const struct config *config, int store_dirfd, const char *given,
		    const struct report *report, char **writer, struct error *err)
{
	struct cli_identity identity = {.path = given, .report = report};
	int r = vars_writer_find(config, store_dirfd, cli_identity_get, &identity, writer, err);

	age_identities_destroy(&identity.identities);
	return r;
}
