/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "age/age.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/trusted/output.h"
#include "cli/terminal.h"
#include "cli/vmcred/commands.h"

/* The limit of age. */
#define RECIPIENTS_FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

struct age_options {
	struct cli_texts recipients, recipient_files, identities;
	const struct report *report;
	const char *input, *output;
	bool armor, passphrase;
};

static int passphrase_add(struct age_recipients *recipients, struct error *err)
{
	_cleanup_secret_ struct secret first = {0}, again = {0};
	int r = terminal_prompt.ask(NULL, "New passphrase:", true, &first, err);

	if (r == 0)
		r = terminal_prompt.ask(NULL, "Repeat the passphrase:", true, &again, err);
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
		error_set(err, VMCRED_USAGE, "no recipients");
		return error_hint(err, "pass --recipient, --recipients or --passphrase");
	}
	if (r == 0 && !options->armor && isatty(out)) {
		error_set(err, VMCRED_USAGE, "refusing to write binary data to a terminal");
		return error_hint(err, "use --armor or --output");
	}
	return r < 0 ? r : age_encrypt_stream(in, out, &recipients, options->armor, err);
}

static int identities_read(const struct age_options *options, struct age_identities *identities,
			   struct error *err)
{
	int r = 0;

	identities->prompt = &terminal_prompt;
	identities->report = options->report;
	if (options->passphrase)
		return age_identities_add_passphrase(identities, span_of(NULL, 0), err);
	if (options->identities.count == 0)
		return cli_identities_load(NULL, options->report, identities, err);
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

static const struct direction {
	const char *name, *doing;
	int (*run)(const struct age_options *options, int in, int out, struct error *err);
	enum output_content output;
} directions[] = {
	{"encrypt", "encrypting", encrypt, OUTPUT_CIPHERTEXT},
	{"decrypt", "decrypting", decrypt, OUTPUT_PLAINTEXT},
};

static int direction_run(const struct direction *direction, const struct age_options *options,
			 struct error *err)
{
	_cleanup_output_ struct output output = OUTPUT_NONE;
	_cleanup_close_ int input = -1;
	int out = STDOUT_FILENO, r = 0;

	if (options->input) {
		input = file_open(AT_FDCWD, options->input, err);
		if (input < 0)
			return input;
	}
	if (options->output) {
		r = output_begin(&output, options->output, direction->output, err);
		out = output.fd;
	}
	if (r == 0)
		r = direction->run(options, options->input ? input : STDIN_FILENO, out, err);
	if (r == 0 && options->output)
		r = output_finish(&output, err);
	return r;
}

static int options_check(const struct direction *direction, const struct age_options *options,
			 struct error *err)
{
	bool encrypts = direction->run == encrypt;

	if (encrypts && options->identities.count > 0)
		return error_set(err, VMCRED_USAGE, "--identity is only for decrypt");
	if (!encrypts && (options->recipients.count > 0 || options->recipient_files.count > 0))
		return error_set(err, VMCRED_USAGE,
				 "--recipient and --recipients are only for encrypt");
	if (!encrypts && options->armor)
		return error_set(err, VMCRED_USAGE,
				 "--armor is only for encrypt: decrypt detects it");
	if (options->passphrase && options->identities.count > 0)
		return error_set(err, VMCRED_USAGE, "--passphrase conflicts with --identity");
	return 0;
}

int command_age(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct age_options options = {.report = &cli->report};
	const struct cli_option options_table[] = {
		{"recipient", "KEY...", "public key to encrypt to", &options.recipients},
		{"recipients", "FILE...", "file of public keys to encrypt to, one per line",
		 &options.recipient_files},
		{"identity", "FILE...", CLI_IDENTITY_HELP, &options.identities},
		{"passphrase", NULL, "ask for a passphrase instead of keys", &options.passphrase},
		{"armor", NULL, "encrypt to ASCII armor", &options.armor},
		{"input", "FILE", "input file (default: stdin)", &options.input},
		{"output", "FILE", "output file, replaced only on success (default: stdout)",
		 &options.output},
		{0},
	};
	const struct cli_usage usage = {
		.command = "age",
		.arguments = "encrypt|decrypt",
		.about = "Encrypt or decrypt a file of any size in the age format.",
		.options = options_table,
		.arguments_min = 1,
		.arguments_max = 1,
	};
	int first, r = cli_parse(cli, &usage, argc, argv, &first, err);

	if (r != 0)
		return r;
	for (size_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++) {
		if (strcmp(argv[first], directions[i].name) != 0)
			continue;
		r = options_check(&directions[i], &options, err);
		if (r == 0)
			r = cli_harden(cli, err);
		if (r == 0)
			r = direction_run(&directions[i], &options, err);
		return r < 0 ? error_wrap(err, "%s", directions[i].doing) : 0;
	}
	error_set(err, VMCRED_USAGE, "unknown command \"%s\"", argv[first]);
	return error_hint(err, "must be encrypt or decrypt");
}
