/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/harden.h"
#include "base/json.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/json_print.h"
#include "config/config.h"
#include "vars/vars.h"

struct keygen {
	const char *output;
	const char *machine;
	bool force;
};

/* The machine must be declared: a mistyped name would register a key that nothing uses. */
static int machine_check(const struct cli *cli, const char *machine, int *store_dirfd,
			 struct error *err)
{
	_cleanup_config_ struct config config = {0};
	_cleanup_free_ char *path = NULL;
	int r = config_find(cli->config, &path, store_dirfd, err);

	if (r == 0)
		r = config_load_file(path, &config, err);
	if (r == 0 && !config_machine_get(&config, machine, err))
		r = -(int)err->code;
	return r;
}

/* A key that is lost is lost for good, so the file and its name are on the disk before it is
 * registered. */
static int file_write(const char *path, struct span text, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int dirfd = -1;
	int r;

	if (!copy)
		return error_no_memory(err);
	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		error_set(err, VMCRED_FAILED,
			  "%s exists, and an identity file is never overwritten", path);
		return error_hint(err, "move it away, or choose another name");
	}
	r = file_write_new(AT_FDCWD, path, text, S_IRUSR | S_IWUSR, err);
	if (r < 0)
		return r;
	dirfd = dir_open(AT_FDCWD, dirname(copy), err);
	r = dirfd < 0 ? dirfd : dir_sync(dirfd, path, err);
	/* Nothing is encrypted to it yet. */
	if (r < 0)
		(void)unlink(path);
	return r;
}

static int identity_write(const struct keygen *keygen, const struct age_identity *identity,
			  struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = age_identity_file_format(identity, time(NULL), &text, err);

	if (r < 0)
		return r;
	if (keygen->output)
		return file_write(keygen->output, secret_span(&text), err);
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	return fd_write(STDOUT_FILENO, secret_span(&text), "standard output", err);
}

static void recipient_print(const struct cli *cli, const struct keygen *keygen,
			    const char *recipient)
{
	_cleanup_json_ json_t *result = NULL;

	if (!keygen->output) {
		/* As age-keygen does; on a terminal it stands in the comment already. */
		if (!isatty(STDOUT_FILENO))
			fprintf(stderr, "Public key: %s\n", recipient);
		return;
	}
	if (!cli->json) {
		printf("%s\n", recipient);
		return;
	}
	result = json_pack("{s:s, s:s, s:s?}", "publicKey", recipient, "file", keygen->output,
			   "machine", keygen->machine);
	cli_json_print(result);
}

static int keygen_run(const struct cli *cli, const struct keygen *keygen, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_close_ int store_dirfd = -1;
	const char *recipient;
	int r = 0;

	if (keygen->machine)
		r = machine_check(cli, keygen->machine, &store_dirfd, err);
	if (r == 0)
		r = age_identities_generate(&identities, err);
	if (r == 0)
		r = identity_write(keygen, identities.items[0], err);
	if (r != 0)
		return error_wrap(err, "making an identity");
	recipient = age_identity_recipient(identities.items[0]);
	if (keygen->machine) {
		r = vars_lock(store_dirfd, &cli->report, err);
		if (r == 0)
			r = vars_machine_key_add(store_dirfd, keygen->machine, recipient,
						 keygen->force, err);
		/* An identity that belongs to nothing would only be in the way of the next try. */
		if (r < 0 && keygen->output &&
		    !vars_machine_key_is(store_dirfd, keygen->machine, recipient))
			(void)unlink(keygen->output);
		if (r < 0)
			return error_wrap(err, "registering the machine's key");
	}
	recipient_print(cli, keygen, recipient);
	return 0;
}

int command_keygen(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct keygen keygen = {0};
	const struct cli_option rows[] = {
		{"output", "FILE",
		 "write the identity there, which must not exist (default: stdout)",
		 &keygen.output},
		{"machine", "NAME", "register the public key as the machine's in the store",
		 &keygen.machine},
		{"force", NULL, "replace a key that the machine has", &keygen.force},
		{0},
	};
	const struct cli_usage usage = {
		.command = "keygen",
		.words = "",
		.about = "Make an age identity, as age-keygen does, for a machine or for a person. "
			 "The identity\n"
			 "file stays where the secrets are to be opened; the public key, which is "
			 "printed, is\n"
			 "what they are encrypted to.",
		.options = rows,
		.has_json = true,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (keygen.force && !keygen.machine)
		return error_set(err, VMCRED_USAGE,
				 "--force replaces a machine's key, and no --machine is given");
	if (cli->json && !keygen.output)
		return error_set(err, VMCRED_USAGE,
				 "--json needs --output: stdout is the identity's");
	r = process_harden(CLI_LOCK_BYTES, &cli->report, err);
	if (r < 0)
		return r;
	return keygen_run(cli, &keygen, err);
}
