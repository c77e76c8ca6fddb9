/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

static const char host_key[] = "/etc/ssh/ssh_host_ed25519_key";
static const char *const machine_paths[] = {CLI_IDENTITY_PATH, CLI_IDENTITY_PATH_SOPS_NIX,
					    host_key};

#define MACHINE_PATHS (sizeof(machine_paths) / sizeof(machine_paths[0]))

const char *cli_machine_identity_path(const char *given, const struct report *report)
{
	const char *path = given ? given : getenv("SOPS_AGE_KEY_FILE");

	for (size_t i = 0; !path && i < MACHINE_PATHS; i++) {
		if (access(machine_paths[i], R_OK) == 0)
			path = machine_paths[i];
	}
	if (path)
		return path;
	report_message(report, REPORT_WARNING, "no identity can be read yet: tried %s, %s, %s",
		       machine_paths[0], machine_paths[1], machine_paths[2]);
	return CLI_IDENTITY_PATH;
}

static const char *environment_get(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* A person's files, in new memory; NULL without a home directory. */
struct personal {
	char *config, *ssh;
};

static void personal_release(struct personal *personal)
{
	free(personal->config);
	free(personal->ssh);
}

static struct personal personal_paths(void)
{
	const char *config = environment_get("XDG_CONFIG_HOME"), *home = environment_get("HOME");

	return (struct personal){
		.config = config ? path_join(config, CONFIG_NAME)
			  : home ? path_join(home, ".config/" CONFIG_NAME)
				 : NULL,
		.ssh = home ? path_join(home, SSH_NAME) : NULL,
	};
}

int cli_person_identity_find(char **path, struct error *err)
{
	__attribute__((cleanup(personal_release))) struct personal personal = personal_paths();
	bool exists = personal.config && access(personal.config, R_OK) == 0;

	if (!personal.config) {
		error_set(err, VMCRED_USAGE, "you have no home directory: $HOME is not set");
		return error_hint(err, "pass your key with --age-key KEY");
	}
	if (!exists && personal.ssh && access(personal.ssh, R_OK) == 0) {
		*path = pointer_release(&personal.ssh);
		return 1;
	}
	*path = pointer_release(&personal.config);
	return exists;
}

/* Finds the first file that can be read. A person who administers a machine may not be allowed to
 * read its identity. */
int cli_identity_find(const char *given, char **path, struct error *err)
{
	const char *chosen = given ? given : getenv("SOPS_AGE_KEY_FILE");
	__attribute__((cleanup(personal_release))) struct personal personal = personal_paths();
	const char *const places[] = {CLI_IDENTITY_PATH, CLI_IDENTITY_PATH_SOPS_NIX,
				      personal.config, personal.ssh, host_key};
	_cleanup_strings_ struct strings tried = {0};
	_cleanup_free_ char *list = NULL;
	bool needs_root = false;

	if (chosen) {
		*path = strdup(chosen);
		return *path ? 0 : error_no_memory(err);
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!places[i])
			continue;
		if (access(places[i], R_OK) == 0) {
			*path = strdup(places[i]);
			return *path ? 0 : error_no_memory(err);
		}
		/* Every machine has an SSH host key; the others say that it decrypts secrets. */
		needs_root |= errno == EACCES && i < 2;
		if (strings_add(&tried, places[i], err) < 0)
			return -(int)err->code;
	}
	list = strings_join(&tried, ", ");
	if (!list)
		return error_no_memory(err);
	error_set(err, VMCRED_MISSING, "no identity can be read: tried %s", list);
	return error_hint(err, "%spass the identity file with --identity FILE",
			  needs_root ? "run this as root, or " : "");
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
	_cleanup_free_ char *path = NULL;
	int r = cli_identity_find(given, &path, err);

	if (r < 0)
		return r;
	report_message(report, REPORT_DEBUG, "the identity file is %s", path);
	/* Keys may be encrypted with a passphrase; a plugin may ask for a PIN. */
	identities->prompt = &terminal_prompt;
	identities->report = report;
	identities->converts_ssh = true;
	r = age_identity_file_load(AT_FDCWD, path, identities, err);
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
