/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `vmcred sops`, or the program called as `sops`: the verbs of sops 3.13, one row each.
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/harden.h"
#include "base/name.h"
#include "cli/vmcred-sops/verbs.h"

const struct sops_verb sops_verbs[] = {
	{"encrypt", NULL, SOPS_ENCRYPT_VERB, verb_encrypt, "[FILE...]",
	 "encrypt a file, or standard input; with --in-place any number of files"},
	{"decrypt", NULL, SOPS_DECRYPT_VERB, verb_decrypt, "[FILE]",
	 "decrypt a file, or standard input"},
	{"edit", NULL, SOPS_EDIT_VERB, verb_edit, "FILE", "edit an encrypted file"},
	{"rotate", NULL, SOPS_ROTATE_VERB, verb_rotate, "FILE",
	 "encrypt a file with a new data key"},
	{"updatekeys", NULL, SOPS_UPDATEKEYS_VERB, verb_updatekeys, "FILE...",
	 "give files the keys that .sops.yaml has for them"},
	{"set", NULL, SOPS_SET_VERB, verb_set, "FILE PATH [VALUE]", "set one value"},
	{"unset", NULL, SOPS_UNSET_VERB, verb_unset, "FILE PATH", "remove one value"},
	{"groups", "add", SOPS_GROUPS_ADD_VERB, verb_groups_add, "", "add a group of keys"},
	{"groups", "delete", SOPS_GROUPS_DELETE_VERB, verb_groups_delete, "NUMBER",
	 "remove a group of keys"},
	{"filestatus", NULL, SOPS_FILESTATUS_VERB, verb_filestatus, "FILE",
	 "tell whether a file is encrypted, as JSON"},
	{"exec-env", NULL, SOPS_EXEC_ENV_VERB, verb_exec_env, "FILE COMMAND",
	 "run a command with the values in its environment"},
	{"exec-file", NULL, SOPS_EXEC_FILE_VERB, verb_exec_file, "FILE COMMAND",
	 "run a command with the decrypted file in place of {}"},
	{"completion", NULL, SOPS_COMPLETION_VERB, verb_completion, "bash|zsh|fish",
	 "print a script for a shell's completion"},
	{"publish", NULL, SOPS_UNSUPPORTED_VERB, NULL, "FILE", "not supported"},
	{"keyservice", NULL, SOPS_UNSUPPORTED_VERB, NULL, "", "not supported"},
	{0},
};

/* What stands in front of a verb and is meant for it. */
static const enum sops_flag flags_for_all[] = {SOPS_FLAG_CONFIG, SOPS_FLAG_INDENT,
					       SOPS_FLAG_MAC_ONLY_ENCRYPTED, SOPS_FLAG_VERBOSE};

void sops_words_warn(const struct sops_call *call)
{
	for (int i = 1; i < call->word_count; i++)
		report_message(&call->cli->report, REPORT_WARNING,
			       "\"%s\" is not used: one file is, and flags stand before it",
			       call->words[i]);
}

static bool is_for_all(enum sops_flag flag)
{
	for (size_t i = 0; i < sizeof(flags_for_all) / sizeof(flags_for_all[0]); i++) {
		if (flags_for_all[i] == flag)
			return true;
	}
	return false;
}

/* Flags in front of the verb: a few are for all verbs; the others sops drops without a word. */
static void flags_hand_over(const struct sops_call *call, struct sops_arguments *before,
			    struct sops_arguments *flags)
{
	for (int i = 0; i < SOPS_FLAG_COUNT; i++) {
		if (!before->values[i] || flags->values[i])
			continue;
		if (is_for_all((enum sops_flag)i)) {
			flags->values[i] = before->values[i];
			before->values[i] = NULL;
		} else {
			report_message(&call->cli->report, REPORT_WARNING,
				       "--%s is not used in front of the verb",
				       sops_flag_name((enum sops_flag)i));
		}
	}
}

static int keyservice_check(const struct sops_call *call, struct error *err)
{
	const char *local = sops_flag_text(&call->arguments, SOPS_FLAG_LOCAL_KEYSERVICE);

	if (sops_flag_text(&call->arguments, SOPS_FLAG_KEYSERVICE))
		report_message(
			&call->cli->report, REPORT_WARNING,
			"key services are not supported: only keys of this machine are tried");
	if (local && strcmp(local, "false") == 0)
		return error_set(
			err, VMCRED_USAGE,
			"without the keys of this machine there are none: key services are "
			"not supported");
	return 0;
}

static int verb_run(struct sops_call *call, int (*run)(struct sops_call *, struct error *),
		    enum sops_verb_id id, struct error *err)
{
	int r = sops_arguments_environment(id, &call->arguments, err);

	if (r == 0)
		r = keyservice_check(call, err);
	if (r == 0 && sops_flag_is_on(&call->arguments, SOPS_FLAG_VERBOSE))
		call->cli->report.level = REPORT_DEBUG;
	if (r == 0)
		r = process_harden(CLI_LOCK_BYTES, &call->cli->report, err);
	return r < 0 ? r : run(call, err);
}

static int verb_call(struct sops_call *call, const struct sops_verb *verb,
		     struct sops_arguments *before, int argc, char **argv, struct error *err)
{
	int r;

	if (!verb->run) {
		error_set(err, VMCRED_USAGE, "%s is not supported", verb->name);
		return error_hint(err, "the program sops 3.13 of getsops has it");
	}
	r = sops_arguments_parse(verb->id, argc, argv, &call->arguments, err);
	if (r < 0)
		return error_wrap(err, "sops %s%s%s", verb->name, verb->second ? " " : "",
				  verb->second ? verb->second : "");
	if (sops_flag_is_on(&call->arguments, SOPS_FLAG_HELP)) {
		verb_help(verb);
		return 0;
	}
	flags_hand_over(call, before, &call->arguments);
	call->words = argv;
	call->word_count = r;
	return verb_run(call, verb->run, verb->id, err);
}

/* "help", "help VERB", "groups" without its own verb, and what is no topic. */
static int help_call(struct sops_call *call, int argc, char **argv, struct error *err)
{
	const struct sops_verb *verb =
		argc > 0 ? verb_find(argv[0], argc > 1 ? argv[1] : NULL) : NULL;

	if (argc > 0 && !verb && !verb_is_family(argv[0]))
		return sops_fail(call, SOPS_EXIT_NO_SUCH_TOPIC, err, "there is no verb \"%s\"",
				 argv[0]);
	if (verb)
		verb_help(verb);
	else
		verbs_help(argc > 0 ? argv[0] : NULL);
	return 0;
}

static int words_dispatch(struct sops_call *call, struct sops_arguments *before, int argc,
			  char **argv, struct error *err)
{
	const struct sops_verb *verb =
		argc > 0 ? verb_find(argv[0], argc > 1 ? argv[1] : NULL) : NULL;

	if (verb && verb->second)
		return verb_call(call, verb, before, argc - 2, argv + 2, err);
	if (verb)
		return verb_call(call, verb, before, argc - 1, argv + 1, err);
	if (argc > 0 && (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "h") == 0))
		return help_call(call, argc - 1, argv + 1, err);
	if (argc > 1 && verb_is_family(argv[0]) && *argv[1] != '-')
		return sops_fail(call, SOPS_EXIT_NO_SUCH_TOPIC, err, "%s: there is no verb \"%s\"",
				 argv[0], argv[1]);
	if (argc > 0 && verb_is_family(argv[0]))
		return help_call(call, 1, argv, err);
	/* No verb. */
	for (int i = 0; i < SOPS_FLAG_COUNT; i++) {
		call->arguments.values[i] = before->values[i];
		before->values[i] = NULL;
	}
	call->words = argv;
	call->word_count = argc;
	return verb_run(call, verb_old_form, SOPS_OLD_FORM, err);
}

static void call_destroy(struct sops_call *call)
{
	sops_arguments_destroy(&call->arguments);
	sops_keys_destroy(call->keys);
	sops_creation_rules_destroy(&call->rules);
}

int command_sops(struct cli *cli, int argc, char **argv, struct error *err)
{
	_cleanup_sops_arguments_ struct sops_arguments before = {0};
	struct sops_keys keys = {0};
	__attribute__((cleanup(call_destroy))) struct sops_call call = {
		.cli = cli, .keys = &keys, .exit_code = SOPS_EXIT_GENERIC};
	int r = sops_arguments_parse(SOPS_OLD_FORM, argc - 1, argv + 1, &before, err);

	if (r >= 0 && sops_flag_is_on(&before, SOPS_FLAG_HELP)) {
		verbs_help(NULL);
		return 0;
	}
	if (r >= 0 && sops_flag_is_on(&before, SOPS_FLAG_VERSION)) {
		/* The version whose documents these are, where programs look for it. */
		printf("sops %s (vmcred %s)\n", SOPS_VERSION_WRITTEN, vmcred_version());
		return 0;
	}
	if (r >= 0)
		r = words_dispatch(&call, &before, r, argv + 1, err);
	else
		error_wrap(err, "sops");
	/* The program ends with what is returned, whatever the error's code is. */
	return r < 0 ? -(int)call.exit_code : r;
}
