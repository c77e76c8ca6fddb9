/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/name.h"
#include "cli/vmcred/commands.h"

/* A secret of the store that is found without the declaration. */
struct stored {
	struct config_generator generator;
	struct config_file file;
	char *names; /* owned; of both */
};

static void stored_destroy(struct stored *stored)
{
	free(stored->names);
}

/* Whether the store has the secret, and the machine's link to it (vars/vars.h): 1, 0, or a negative
 * code. */
static int is_linked(int store_dirfd, const struct vars_location *location, const char *machine,
		     struct error *err)
{
	_cleanup_free_ char *secret = vars_location_path(location), *link = NULL;
	char *end = secret ? strrchr(secret, '/') : NULL;

	if (!end)
		return error_no_memory(err);
	if (faccessat(store_dirfd, secret, F_OK, 0) < 0)
		return 0;
	*end = '\0';
	link = text_format("%s/machines/%s", secret, machine);
	if (!link)
		return error_no_memory(err);
	return faccessat(store_dirfd, link, F_OK, 0) == 0;
}

/*
 * Finds the secret in the store. Returns 1, or 0 if only the declaration can tell: the secret does
 * not exist, is public, or exists both for this machine and shared.
 */
static int stored_find(int store_dirfd, const char *machine, const char *name,
		       struct stored *stored, struct vars_location *location, struct error *err)
{
	_cleanup_error_ struct error ignored = {0};
	char *slash;
	int r, shared;

	stored->names = strdup(name);
	if (!stored->names)
		return error_no_memory(err);
	slash = strchr(stored->names, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	if (store_name_check("machine", machine, &ignored) < 0 ||
	    store_name_check("generator", stored->names, &ignored) < 0 ||
	    store_name_check("file", slash + 1, &ignored) < 0)
		return 0;
	stored->generator.name = stored->names;
	stored->file = (struct config_file){.name = slash + 1, .secret = true};
	*location = (struct vars_location){.generator = &stored->generator, .file = &stored->file};
	shared = is_linked(store_dirfd, location, machine, err);
	location->machine = machine;
	r = shared < 0 ? shared : is_linked(store_dirfd, location, machine, err);
	if (shared > 0)
		location->machine = NULL;
	return r < 0 ? r : r != shared;
}

/* The declaration is read only if it is needed: it may be very large. */
static int location_find(struct cli *cli, const char *machine, const char *name, int *store_dirfd,
			 struct config *config, struct stored *stored,
			 struct vars_location *location, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r = cli_harden(cli, err);

	if (r == 0)
		r = config_find(cli->config, &path, store_dirfd, err);
	if (r == 0)
		r = stored_find(*store_dirfd, machine, name, stored, location, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = config_load_file(path, config, err);
	return r < 0 ? r : cli_location_find(config, machine, name, location, err);
}

int command_get(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct cli_identity identity = {.report = &cli->report};
	const struct cli_option options[] = {
		{"identity", "FILE", CLI_IDENTITY_HELP, &identity.path},
		{0},
	};
	const struct cli_usage usage = {
		.command = "get",
		.examples = "  vmcred get host1 github/token\n",
		.arguments = "MACHINE GENERATOR/FILE",
		.about = "Decrypt one secret of the store to standard output, byte for byte.",
		.options = options,
		.arguments_min = 2,
		.arguments_max = 2,
	};
	_cleanup_config_ struct config config = {0};
	_cleanup_secret_ struct secret value = {0};
	_cleanup_close_ int store_dirfd = -1;
	__attribute__((cleanup(stored_destroy))) struct stored stored = {0};
	struct vars_location location = {0};
	struct sops_keyring keyring = {0};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	r = location_find(cli, argv[first], argv[first + 1], &store_dirfd, &config, &stored,
			  &location, err);
	/* A public file needs no key. */
	if (r == 0 && location.file->secret)
		r = vars_keyring_load(store_dirfd, &location, cli_identity_get, &identity, &keyring,
				      err);
	if (r == 0)
		r = vars_store_read(store_dirfd, &location, &keyring, &value, err);
	age_identities_destroy(&identity.identities);
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	if (r == 0)
		r = fd_write(STDOUT_FILENO, secret_span(&value), "standard output", err);
	return r;
}
