/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/harden.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"
#include "cli/vmcred/identity.h"

/* A team's keys; age's own limit. */
#define RECIPIENTS_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

struct age_options {
	struct cli_texts recipients, recipient_files, identities;
	const char *input, *output;
	bool armor, passphrase;
};

static int passphrase_add(struct age_recipients *recipients, struct error *err)
{
	_cleanup_secret_ struct secret first = {0}, again = {0};
	int r = terminal_prompt.ask(NULL, "New passphrase:", true, &first, err);

	if (r == 0)
		r = terminal_prompt.ask(NULL, "The same again:", true, &again, err);
	if (r == 0 && !secret_equal(secret_span(&first), secret_span(&again)))
		r = error_set(err, VMCRED_FAILED, "the two passphrases differ");
	return r < 0 ? r : age_recipients_add_passphrase(recipients, secret_span(&first), 0, err);
}

static int recipients_read(const struct age_options *options, struct age_recipients *recipients,
			   struct error *err)
{
	int r = 0;

	recipients->prompt = &terminal_prompt;
	for (size_t i = 0; r == 0 && i < options->recipients.count; i++)
		r = age_recipients_add(recipients, span_of_text(options->recipients.items[i]), err);
	for (size_t i = 0; r == 0 && i < options->recipient_files.count; i++) {
		const char *path = options->recipient_files.items[i];
		_cleanup_secret_ struct secret text = {0};

		r = file_read_secret(AT_FDCWD, path, RECIPIENTS_FILE_SIZE_MAX, &text, err);
		if (r == 0)
			r = age_recipients_parse(secret_span(&text), path, recipients, err);
	}
	if (r == 0 && options->passphrase)
		r = passphrase_add(recipients, err);
	return r;
}

static int encrypt(const struct age_options *options, int in, int out, struct error *err)
{
	_cleanup_age_recipients_ struct age_recipients recipients = {0};
	int r = recipients_read(options, &recipients, err);

	if (r == 0 && recipients.count == 0) {
		error_set(err, VMCRED_USAGE, "there is no recipient to encrypt to");
		return error_hint(err, "name one with --recipient, --recipients or --passphrase");
	}
	if (r == 0 && !options->armor && isatty(out)) {
		error_set(err, VMCRED_USAGE, "an age file is binary, and no text for a terminal");
		return error_hint(err, "write it with --output FILE, or as text with --armor");
	}
	return r < 0 ? r : age_encrypt_stream(in, out, &recipients, options->armor, err);
}

static int identities_read(const struct age_options *options, struct age_identities *identities,
			   struct error *err)
{
	int r = 0;

	identities->prompt = &terminal_prompt;
	if (options->passphrase)
		return age_identities_add_passphrase(identities, span_of(NULL, 0), err);
	if (options->identities.count == 0)
		return cli_identities_load(NULL, identities, err);
	for (size_t i = 0; r == 0 && i < options->identities.count; i++)
		r = age_identity_file_load(AT_FDCWD, options->identities.items[i], identities, err);
	return r;
}

static int decrypt(const struct age_options *options, int in, int out, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	int r = identities_read(options, &identities, err);

	return r < 0 ? r : age_decrypt_stream(in, out, &identities, err);
}

static const struct verb {
	const char *name, *doing;
	int (*run)(const struct age_options *options, int in, int out, struct error *err);
	mode_t mode; /* of a file that it makes */
} verbs[] = {
	{"encrypt", "encrypting", encrypt, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH},
	{"decrypt", "decrypting", decrypt, S_IRUSR | S_IWUSR},
};

static int verb_run(const struct verb *verb, const struct age_options *options, struct error *err)
{
	_cleanup_replacement_ struct replacement replacement = REPLACEMENT_NONE;
	_cleanup_close_ int input = -1;
	int out = STDOUT_FILENO, r = 0;

	if (options->input) {
		input = file_open(AT_FDCWD, options->input, err);
		if (input < 0)
			return input;
	}
	if (options->output) {
		r = replacement_begin(&replacement, options->output, verb->mode, err);
		out = replacement.fd;
	}
	if (r == 0)
		r = verb->run(options, options->input ? input : STDIN_FILENO, out, err);
	if (r == 0 && options->output)
		r = replacement_finish(&replacement, err);
	return r;
}

static int options_check(const struct verb *verb, const struct age_options *options,
			 struct error *err)
{
	bool encrypts = verb->run == encrypt;

	if (encrypts && options->identities.count > 0)
		return error_set(err, VMCRED_USAGE, "--identity is for decrypt");
	if (!encrypts && (options->recipients.count > 0 || options->recipient_files.count > 0))
		return error_set(err, VMCRED_USAGE, "--recipient and --recipients are for encrypt");
	if (!encrypts && options->armor)
		return error_set(err, VMCRED_USAGE, "--armor is for encrypt: decrypt sees it");
	if (options->passphrase && options->identities.count > 0)
		return error_set(err, VMCRED_USAGE,
				 "--passphrase and --identity do not go together");
	return 0;
}

int command_age(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct age_options options = {0};
	const struct cli_option rows[] = {
		{"recipient", "KEY...", "a public key to encrypt to", &options.recipients},
		{"recipients", "FILE...", "a file with public keys to encrypt to, one a line",
		 &options.recipient_files},
		{"identity", "FILE...", CLI_IDENTITY_HELP, &options.identities},
		{"passphrase", NULL, "ask for a passphrase instead", &options.passphrase},
		{"armor", NULL, "encrypt to text", &options.armor},
		{"input", "FILE", "read it (default: stdin)", &options.input},
		{"output", "FILE", "replace it when all went well (default: stdout)",
		 &options.output},
		{0},
	};
	const struct cli_usage usage = {
		.command = "age",
		.words = "encrypt|decrypt",
		.about = "Encrypt or decrypt a file of any size, as age does.",
		.options = rows,
		.words_min = 1,
		.words_max = 1,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[first], verbs[i].name) != 0)
			continue;
		r = options_check(&verbs[i], &options, err);
		if (r == 0)
			r = process_harden(CLI_LOCK_BYTES, &cli->report, err);
		if (r == 0)
			r = verb_run(&verbs[i], &options, err);
		return r < 0 ? error_wrap(err, "%s", verbs[i].doing) : 0;
	}
	error_set(err, VMCRED_USAGE, "there is no verb \"%s\"", argv[first]);
	return error_hint(err, "there are encrypt and decrypt");
}
