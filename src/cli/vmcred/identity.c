/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"

/* Of the machine, then of the person; below $XDG_CONFIG_HOME or ~/.config, and below $HOME. */
#define CONFIG_NAME "sops/age/keys.txt"
#define SSH_NAME    ".ssh/id_ed25519"

#define IDENTITY_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024) /* age's limit */

static const char *const machine_paths[] = {CLI_IDENTITY_PATH, CLI_IDENTITY_PATH_SOPS_NIX};
static const char host_key[] = "/etc/ssh/ssh_host_ed25519_key";

const char *cli_machine_identity_path(const char *given)
{
	const char *path = given ? given : getenv("SOPS_AGE_KEY_FILE");

	for (size_t i = 0; !path && i < sizeof(machine_paths) / sizeof(machine_paths[0]); i++) {
		if (access(machine_paths[i], R_OK) == 0)
			path = machine_paths[i];
	}
	if (!path && access(host_key, R_OK) == 0)
		path = host_key;
	return path ? path : CLI_IDENTITY_PATH;
}

struct search {
	char *found; /* owned; a file that can be read */
	char *tried; /* owned; the others, for an error */
};

/* A person who administers a machine may not be allowed to read its identity. */
static int place_try(struct search *search, const char *directory, const char *name,
		     struct error *err)
{
	_cleanup_free_ char *path = NULL;
	char *tried;

	if (search->found || !directory || !*directory)
		return 0;
	path = path_join(directory, name);
	if (path && access(path, R_OK) == 0) {
		search->found = pointer_release(&path);
		return 0;
	}
	tried = path ? text_format("%s%s%s", search->tried ? search->tried : "",
				   search->tried ? ", " : "", path)
		     : NULL;
	if (!tried)
		return error_no_memory(err);
	free(search->tried);
	search->tried = tried;
	return 0;
}

static int search_run(struct search *search, struct error *err)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(machine_paths) / sizeof(machine_paths[0]); i++)
		r = place_try(search, "/", machine_paths[i] + 1, err);
	if (r == 0)
		r = config && *config ? place_try(search, config, CONFIG_NAME, err)
				      : place_try(search, home, ".config/" CONFIG_NAME, err);
	if (r == 0)
		r = place_try(search, home, SSH_NAME, err);
	if (r == 0)
		r = place_try(search, "/", host_key + 1, err);
	if (r < 0 || search->found)
		return r;
	error_set(err, VMCRED_MISSING, "no identity can be read: tried %s", search->tried);
	return error_hint(err, "pass the identity file with --identity FILE");
}

static void search_release(struct search *search)
{
	free(search->found);
	free(search->tried);
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
	const char *path = given ? given : getenv("SOPS_AGE_KEY_FILE");
	__attribute__((cleanup(search_release))) struct search search = {0};
	int r = path ? 0 : search_run(&search, err);

	if (r < 0)
		return r;
	/* Keys may be encrypted with a passphrase; a plugin may ask for a PIN. */
	identities->prompt = &terminal_prompt;
	identities->report = report;
	identities->converts_ssh = true;
	r = age_identity_file_load(AT_FDCWD, path ? path : search.found, identities, err);
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
