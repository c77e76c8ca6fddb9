/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/name.h"
#include "cli/cli.h"
#include "cli/module.h"
#include "cli/personality.h"

/* The function of a subcommand that needs libcrypto: a row in crypto.c has it. */
#define IN_CRYPTO NULL

static const struct cli_command commands[] = {
	/* In the order in which a secret travels. */
	{"keygen", IN_CRYPTO, "make an age identity, for a machine or for a person"},
	{"generate", IN_CRYPTO, "make the declared secrets that are not there, encrypted"},
	{"list", IN_CRYPTO, "list the declared secrets, and which are there"},
	{"get", IN_CRYPTO, "decrypt one secret to standard output"},
	{"set", IN_CRYPTO, "put a value into the store, encrypted"},
	{"check", IN_CRYPTO, "check that all secrets are there, and for whom they should be"},
	{"fix", IN_CRYPTO, "encrypt secrets to those who may read them"},
	{"machine", IN_CRYPTO, "give a machine a key, or take it out of the store"},
	{"user", IN_CRYPTO, "register a person's public key, or remove it"},
	{"group", IN_CRYPTO, "put users and machines into groups"},
	{"activate", IN_CRYPTO, "decrypt a machine's secrets to /run/secrets"},
	{"serve", IN_CRYPTO, "answer LoadCredential= of the VMs' units from the store"},
	{"units", command_units, "write the LoadCredential= drop-ins of the VMs' units"},
	{"compose", command_compose, "show a VM's OEM strings: names, sizes, limits, never values"},
	{"run", command_run, "start a VM's hypervisor with its credentials"},
	{"inspect", IN_CRYPTO,
	 "show what of a VM's secrets is where, and check the guest's proofs"},
	{"sops", IN_CRYPTO, "work with SOPS documents, with the verbs and flags of sops"},
	{"age", IN_CRYPTO, "encrypt or decrypt a file of any size"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void help_print(void)
{
	printf("Usage: vmcred COMMAND [OPTION...] [WORD...]\n\n"
	       "Deliver secrets to microVMs: declared once, encrypted at rest, handed to the "
	       "guest's\n"
	       "systemd as credentials, and never in view on the way.\n\nCommands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].about);
	printf("\n`vmcred COMMAND --help` tells a command's options, vmcred(1) all the rest.\n"
	       "Exit codes: 0 done, 1 failed, 2 usage, 3 something declared is missing,\n"
	       "4 an integrity check failed.\n");
}

static int command_unknown(const char *word, struct error *err)
{
	const char *names[COMMAND_COUNT + 1] = {NULL};
	const char *nearest;

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		names[i] = commands[i].name;
	nearest = name_nearest(word, names);
	error_set(err, VMCRED_USAGE, "there is no command \"%s\"", word);
	if (nearest)
		return error_hint(err, "did you mean \"%s\"?", nearest);
	return error_hint(err, "`vmcred --help` lists them");
}

static int command_call(const struct cli_command *command, struct cli *cli, int argc, char **argv,
			struct error *err)
{
	const struct cli_command *loaded =
		command->run ? command : module_command(command->name, err);

	return loaded ? loaded->run(cli, argc, argv, err) : -(int)err->code;
}

static int dispatch(struct cli *cli, int argc, char **argv, struct error *err)
{
	if (argc < 2) {
		error_set(err, VMCRED_USAGE, "no command given");
		return error_hint(err, "`vmcred --help` lists them");
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help_print();
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("vmcred %s\n", vmcred_version());
		return 0;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return command_call(&commands[i], cli, argc - 1, argv + 1, err);
	}
	return command_unknown(argv[1], err);
}

static void line_print(const struct report *report, enum report_level level, const char *text)
{
	progress_clear(report->data);
	fprintf(stderr, "vmcred: %s%s\n", level == REPORT_WARNING ? "warning: " : "", text);
}

int main(int argc, char **argv)
{
	const struct cli_command *personality = personality_find(argv);
	struct cli cli = {.report = {.level = REPORT_WARNING,
				     .line = line_print,
				     .progress = progress_show,
				     .data = &cli.progress}};
	_cleanup_error_ struct error err = {0};
	_cleanup_free_ char *line = NULL;
	int r;

	r = personality ? command_call(personality, &cli, argc, argv, &err)
			: dispatch(&cli, argc, argv, &err);
	progress_clear(&cli.progress);
	/* What did not reach stdout was not done. */
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = error_set(&err, VMCRED_FAILED, "writing to standard output failed");
	if (r >= 0)
		return r;
	line = error_line(&err);
	fprintf(stderr, "vmcred: %s\n", line ? line : "out of memory");
	return -r;
}
