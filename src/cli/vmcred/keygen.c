/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/program.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"
#include "config/config.h"
#include "vars/vars.h"

struct keygen {
	const char *output;
	const char *machine;
	bool force;
	bool is_age; /* called as age-keygen */
	enum age_key_type type;
	int dirfd; /* of the output: if its path changes meanwhile, no other file is removed */
};

static int identity_write(const struct cli *cli, struct keygen *keygen,
			  const struct age_identity *identity, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	struct stat status;
	int r = age_identity_file_format(identity, time(NULL), &text, err);

	if (r < 0)
		return r;
	if (keygen->output)
		return cli_new_file_write(keygen->output, !keygen->is_age, secret_span(&text),
					  &keygen->dirfd, err);
	if (fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
	    status.st_mode & S_IROTH)
		report_message(&cli->report, REPORT_WARNING,
			       "writing a secret key to a world-readable file");
	/* Straight to the descriptor: stdio would keep a copy in its buffer. */
	return fd_write(STDOUT_FILENO, secret_span(&text), "standard output", err);
}

static void recipient_print(const struct cli *cli, const struct keygen *keygen,
			    const char *recipient)
{
	_cleanup_json_ json_t *result = NULL;

	if (!keygen->output || keygen->is_age) {
		/* A terminal shows it in the comment. */
		if (keygen->output || !isatty(STDOUT_FILENO))
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

static int keygen_run(struct cli *cli, struct keygen *keygen, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	_cleanup_config_ struct config config = {0};
	_cleanup_close_ int store_dirfd = -1;
	_cleanup_lock_ struct lock lock = LOCK_NONE;
	const char *recipient;
	int r;

	cli->load = CONFIG_WHOLE;
	r = keygen->machine ? cli_start(cli, &config, &store_dirfd, err) : cli_harden(cli, err);
	/* A mistyped name would register an unused key. */
	if (r == 0 && keygen->machine && !config_machine_get(&config, keygen->machine, err))
		r = -(int)err->code;
	if (r < 0)
		return r;
	r = age_identities_generate(&identities, keygen->type, err);
	if (r == 0)
		r = identity_write(cli, keygen, identities.items[0], err);
	if (r < 0)
		return error_wrap(err, "generating an identity");
	recipient = age_identity_recipient(identities.items[0]);
	if (keygen->machine) {
		r = vars_lock(&lock, store_dirfd, &cli->report, err);
		if (r == 0)
			r = vars_machine_key_add(store_dirfd, keygen->machine, recipient,
						 keygen->force, err);
		/* An identity without a registered key would only block the next attempt. */
		if (r < 0 && keygen->output &&
		    !vars_machine_key_is(store_dirfd, keygen->machine, recipient))
			cli_new_file_remove(keygen->output, keygen->dirfd);
		if (r < 0)
			return error_wrap(err, "registering the machine's key");
	}
	recipient_print(cli, keygen, recipient);
	return 0;
}

/* The public keys of an identity file, one a line, or with --json a list. */
static int recipients_print(const struct cli *cli, struct keygen *keygen, const char *input,
			    struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {.prompt = &terminal_prompt,
								     .report = &cli->report};
	_cleanup_age_recipients_ struct age_recipients recipients = {.prompt = &terminal_prompt};
	_cleanup_secret_ struct secret text = {0};
	_cleanup_json_ json_t *list = cli->json ? json_array() : NULL;
	int r = input ? age_identity_file_load(AT_FDCWD, input, &identities, err)
		      : cli_identities_read(&identities, err);

	if (r == 0)
		r = age_recipients_add_identities(&recipients, &identities, err);
	for (size_t i = 0; r == 0 && i < recipients.count; i++) {
		const char *recipient = age_recipient_text(recipients.items[i]);

		if (*recipient == '<')
			return error_set(err, VMCRED_FAILED, "the public key of %s is unknown",
					 recipient);
		if (list) {
			json_array_append_new(list, json_string(recipient));
			continue;
		}
		r = secret_append_text(&text, recipient, err);
		if (r == 0)
			r = secret_append_text(&text, "\n", err);
	}
	if (r < 0)
		return r;
	if (list) {
		cli_json_print(list);
		return 0;
	}
	return keygen->output ? cli_new_file_write(keygen->output, false, secret_span(&text),
						   &keygen->dirfd, err)
			      : fd_write(STDOUT_FILENO, secret_span(&text), "standard output", err);
}

int command_keygen(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct keygen keygen = {.dirfd = -1};
	bool converts = false;
	const struct cli_option options[] = {
		{"o, output", "FILE", "new identity file (default: stdout)", &keygen.output},
		{"machine", "MACHINE", "register the public key for this machine in the store",
		 &keygen.machine},
		{"force", NULL, "replace the machine's registered key", &keygen.force},
		{"y, public-key", NULL, "print the public keys of an identity instead", &converts},
		{0},
	};
	const struct cli_usage usage = {
		.command = "keygen",
		.examples = "  vmcred keygen --output ~/.config/sops/age/keys.txt\n"
			    "  vmcred keygen -y\n",
		.arguments = "[FILE]",
		.arguments_max = 1,
		.about = "Generate an age identity, as age-keygen does, for a machine or a person. "
			 "Keep the identity file where secrets are decrypted; secrets are "
			 "encrypted to the printed public key. With -y, print the public keys of "
			 "an identity file (-: standard input), or of your own.",
		.options = options,
		.has_json = true,
	};
	_cleanup_free_ char *input = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (first < argc && !converts)
		return error_set(err, VMCRED_USAGE, "too many arguments: FILE is for -y");
	if (converts && (keygen.machine || keygen.output))
		return error_set(err, VMCRED_USAGE,
				 "--public-key cannot be combined with --machine or --output");
	if (keygen.force && !keygen.machine)
		return error_set(err, VMCRED_USAGE,
				 "--force requires --machine: it replaces a machine's key");
	if (cli->json && !keygen.output && !converts)
		return error_set(err, VMCRED_USAGE,
				 "--json requires --output: stdout is for the identity");
	if (!converts) {
		r = keygen_run(cli, &keygen, err);
		cleanup_close_fd(&keygen.dirfd);
		return r;
	}
	r = cli_harden(cli, err);
	if (r == 0 && (first == argc || strcmp(argv[first], "-") != 0))
		r = cli_identity_find(first < argc ? argv[first] : NULL, &input, err);
	if (r == 0)
		r = recipients_print(cli, &keygen, input, err);
	return r < 0 ? error_wrap(err, "reading an identity") : 0;
}

int command_age_keygen(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct keygen keygen = {.is_age = true, .dirfd = -1};
	bool postquantum = false, converts = false, version = false;
	const struct cli_option options[] = {
		{"pq", NULL, "generate a post-quantum key", &postquantum},
		{"o, output", "FILE", "new file (default: stdout)", &keygen.output},
		{"y", NULL, "print the public keys of an identity file", &converts},
		{"version", NULL, "print the version", &version},
		{0},
	};
	const struct cli_usage usage = {
		.command = "age-keygen",
		.arguments = "[INPUT]",
		.about = "Generate an age identity, or print the public keys of INPUT with -y.",
		.options = options,
		.arguments_max = 1,
		.is_link = true,
	};
	const char *input = NULL;
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	if (version) {
		cli_age_version_print();
		return 0;
	}
	if (first < argc && strcmp(argv[first], "-") != 0)
		input = argv[first];
	if (first < argc && !converts)
		return error_set(err, VMCRED_USAGE, "too many arguments: INPUT is for -y");
	if (postquantum && converts)
		return error_set(err, VMCRED_USAGE, "-pq cannot be combined with -y");
	keygen.type = postquantum ? AGE_HYBRID : AGE_X25519;
	r = converts ? cli_harden(cli, err) : keygen_run(cli, &keygen, err);
	if (r == 0 && converts && recipients_print(cli, &keygen, input, err) < 0)
		r = error_wrap(err, "age-keygen");
	cleanup_close_fd(&keygen.dirfd);
	return r;
}
