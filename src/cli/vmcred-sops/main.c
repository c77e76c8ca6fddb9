/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/commands.h"

const struct sops_command sops_commands[] = {
	{"encrypt", NULL, ENCRYPT, command_encrypt, "[FILE...]",
	 "encrypt a file or stdin; with --in-place any number of files"},
	{"decrypt", NULL, DECRYPT, command_decrypt, "[FILE]", "decrypt a file or stdin"},
	{"edit", NULL, EDIT, command_edit, "FILE", "edit an encrypted file"},
	{"rotate", NULL, ROTATE, command_rotate, "FILE", "re-encrypt a file with a new data key"},
	{"updatekeys", NULL, UPDATEKEYS, command_updatekeys, "FILE...",
	 "change the keys of files to those in .sops.yaml"},
	{"set", NULL, SET, command_set, "FILE PATH [VALUE]", "set one value"},
	{"unset", NULL, UNSET, command_unset, "FILE PATH", "remove one value"},
	{"groups", "add", GROUPS_ADD, command_groups_add, "", "add a key group"},
	{"groups", "delete", GROUPS_DELETE, command_groups_delete, "NUMBER", "remove a key group"},
	{"filestatus", NULL, FILESTATUS, command_filestatus, "FILE",
	 "print whether a file is encrypted, as JSON"},
	{"exec-env", NULL, EXEC_ENV, command_exec_env, "FILE COMMAND",
	 "run a command with the values in its environment"},
	{"exec-file", NULL, EXEC_FILE, command_exec_file, "FILE COMMAND",
	 "run a command with {} replaced by the decrypted file"},
	{"completion", NULL, COMPLETION, command_completion, "bash|zsh|fish",
	 "print a shell completion script"},
	{"publish", NULL, NO_COMMAND, NULL, "FILE", "not supported"},
	{"keyservice", NULL, NO_COMMAND, NULL, "", "not supported"},
	{0},
};

/* The command of these one or two arguments; `second` may be NULL. */
static const struct sops_command *command_find(const char *name, const char *second)
{
	for (const struct sops_command *command = sops_commands; command->name; command++) {
		if (strcmp(command->name, name) == 0 &&
		    (!command->second || (second && strcmp(command->second, second) == 0)))
			return command;
	}
	return NULL;
}

/* Whether commands of two words begin with this one. */
static bool is_family(const char *name)
{
	for (const struct sops_command *command = sops_commands; command->name; command++) {
		if (command->second && strcmp(command->name, name) == 0)
			return true;
	}
	return false;
}

static void flags_print(enum command_id command)
{
	for (int i = 0; i < FLAG_COUNT; i++) {
		const struct flag_about *about = flag_about(command, (enum flag)i);
		_cleanup_free_ char *text = NULL;
		char left[80];

		if (!about)
			continue;
		snprintf(left, sizeof(left), "--%s%s%s%s%s", about->name,
			 about->letter ? ", -" : "", about->letter ? about->letter : "",
			 about->argument ? " " : "", about->argument ? about->argument : "");
		text = about->variable ? text_format("%s [$%s]", about->help, about->variable)
				       : NULL;
		printf("  %-36s ", left);
		cli_text_print(text ? text : about->help, 39);
	}
}

static void command_help(const struct sops_command *command)
{
	printf("Usage: vmcred sops %s%s%s [FLAG...]%s%s\n\n%s\n\nFlags:\n", command->name,
	       command->second ? " " : "", command->second ? command->second : "",
	       *command->arguments ? " " : "", command->arguments, command->about);
	flags_print(command->id);
}

/* All commands, or those of a family. */
static void commands_help(const char *family)
{
	printf("Usage: vmcred sops COMMAND [FLAG...] [ARGUMENT...]\n"
	       "       vmcred sops [FLAG...] FILE\n\n"
	       "Work with SOPS documents as sops %s does. A link to vmcred-sops can be\n"
	       "called sops.\n\nCommands:\n",
	       SOPS_VERSION_WRITTEN);
	for (const struct sops_command *command = sops_commands; command->name; command++) {
		char name[32];

		if (family && strcmp(family, command->name) != 0)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", command->name, command->second ? " " : "",
			 command->second ? command->second : "");
		printf("  %-14s %s\n", name, command->about);
	}
	if (family)
		return;
	printf("\n`vmcred sops COMMAND --help` lists the flags of a command; see also\n"
	       "vmcred-sops(1). Exit codes are those of sops.\n\n"
	       "Flags without a command, which edit FILE unless they say otherwise:\n");
	flags_print(LEGACY);
}

void extra_arguments_warn(const struct invocation *invocation)
{
	for (int i = 1; i < invocation->argument_count; i++)
		report_message(&invocation->cli->report, REPORT_WARNING,
			       "ignoring \"%s\": only one file is used, and flags come before it",
			       invocation->arguments[i]);
}

int file_argument_check(struct invocation *invocation, struct error *err)
{
	if (invocation->argument_count < 1)
		return fail(invocation, SOPS_EXIT_NO_FILE, err, "no file given");
	extra_arguments_warn(invocation);
	return 0;
}

/* Of the flags before the command, a few are for all commands. sops ignores the others silently. */
static void flags_inherit(struct invocation *invocation, struct flags *before)
{
	for (int i = 0; i < FLAG_COUNT; i++) {
		if (!before->values[i] || invocation->flags.values[i])
			continue;
		if (i == FLAG_CONFIG || i == FLAG_INDENT || i == FLAG_MAC_ONLY_ENCRYPTED ||
		    i == FLAG_VERBOSE) {
			invocation->flags.values[i] = before->values[i];
			before->values[i] = NULL;
		} else {
			report_message(&invocation->cli->report, REPORT_WARNING,
				       "ignoring --%s: it must come after the command",
				       flag_name((enum flag)i));
		}
	}
}

static int command_run(struct invocation *invocation, enum command_id id,
		       int (*run)(struct invocation *, struct error *), struct error *err)
{
	int r = flags_environment_read(id, &invocation->flags, err);
	const char *local;

	if (r < 0)
		return r;
	if (flag_text(&invocation->flags, FLAG_KEYSERVICE))
		report_message(&invocation->cli->report, REPORT_WARNING,
			       "key services are not supported: using the keys of this machine");
	local = flag_text(&invocation->flags, FLAG_LOCAL_KEYSERVICE);
	if (local && strcmp(local, "false") == 0)
		return error_set(err, VMCRED_USAGE,
				 "--enable-local-keyservice=false leaves no keys: key services are "
				 "not supported");
	if (flag_is_on(&invocation->flags, FLAG_VERBOSE))
		invocation->cli->report.level = REPORT_DEBUG;
	r = cli_harden(invocation->cli, err);
	return r < 0 ? r : run(invocation, err);
}

static int command_call(struct invocation *invocation, const struct sops_command *command, int argc,
			char **argv, struct error *err)
{
	_cleanup_flags_ struct flags before = invocation->flags;

	invocation->flags = (struct flags){0};
	if (!command->run) {
		error_set(err, VMCRED_USAGE, "%s is not supported", command->name);
		return error_hint(err, "use getsops' sops 3.13");
	}
	invocation->arguments = argv;
	invocation->argument_count = flags_parse(command->id, argc, argv, &invocation->flags, err);
	if (invocation->argument_count < 0)
		return error_wrap(err, "sops %s%s%s", command->name, command->second ? " " : "",
				  command->second ? command->second : "");
	if (flag_is_on(&invocation->flags, FLAG_HELP) ||
	    (command->id == COMPLETION && invocation->argument_count == 0)) {
		command_help(command);
		return 0;
	}
	flags_inherit(invocation, &before);
	return command_run(invocation, command->id, command->run, err);
}

static bool is_help(const char *argument)
{
	return strcmp(argument, "help") == 0 || strcmp(argument, "h") == 0;
}

static int dispatch(struct invocation *invocation, int argc, char **argv, struct error *err)
{
	const char *name = argc > 0 ? argv[0] : "", *second = argc > 1 ? argv[1] : NULL;
	const struct sops_command *command = command_find(name, second);
	const bool helps = is_help(name);

	if (command)
		return command_call(invocation, command, argc - (command->second ? 2 : 1),
				    argv + (command->second ? 2 : 1), err);
	if (helps && !second) {
		commands_help(NULL);
		return 0;
	}
	if (helps) {
		command = command_find(second, argc > 2 ? argv[2] : NULL);
		if (command)
			command_help(command);
		else if (is_family(second))
			commands_help(second);
		else
			return fail(invocation, SOPS_EXIT_NO_SUCH_TOPIC, err,
				    "unknown command \"%s\"", second);
		return 0;
	}
	if (is_family(name)) {
		if (second && *second != '-' && !is_help(second))
			return fail(invocation, SOPS_EXIT_NO_SUCH_TOPIC, err,
				    "unknown command \"%s %s\"", name, second);
		commands_help(name);
		return 0;
	}
	invocation->arguments = argv;
	invocation->argument_count = argc;
	return command_run(invocation, LEGACY, command_legacy, err);
}

static void invocation_destroy(struct invocation *invocation)
{
	flags_destroy(&invocation->flags);
	sops_keys_destroy(invocation->keys);
	sops_creation_rules_destroy(&invocation->rules);
}

static int sops_run(struct cli *cli, int argc, char **argv, struct error *err)
{
	struct sops_keys keys = {0};
	__attribute__((cleanup(invocation_destroy))) struct invocation invocation = {
		.cli = cli, .keys = &keys, .exit_code = SOPS_EXIT_GENERIC};
	int r;

	if (argc > 1 && strcmp(argv[argc - 1], "--generate-bash-completion") == 0) {
		candidates_print(command_find(argv[1], argv[2]), argc - 2, argv + 1);
		return 0;
	}
	r = flags_parse(LEGACY, argc - 1, argv + 1, &invocation.flags, err);
	if (r < 0) {
		error_wrap(err, "sops");
	} else if (flag_is_on(&invocation.flags, FLAG_HELP)) {
		commands_help(NULL);
		r = 0;
	} else if (flag_is_on(&invocation.flags, FLAG_VERSION)) {
		/* Programs look for the version of sops in the second word. */
		printf("sops %s (vmcred %s)\n", SOPS_VERSION_WRITTEN, vmcred_version());
		r = 0;
	} else {
		r = dispatch(&invocation, r, argv + 1, err);
	}
	/* The exit code of sops, not that of the error. */
	return r < 0 ? -(int)invocation.exit_code : r;
}

int main(int argc, char **argv)
{
	static const struct cli_program program = {
		.name = "vmcred-sops", .run = sops_run, .has_priorities = true};

	libcrypto_start();
	return cli_main(&program, argc, argv);
}
