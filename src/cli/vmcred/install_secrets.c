/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmcred called as sops-install-secrets, which sops-nix's modules call with the path of a manifest.
 * Its options are those of Go's flag package: one dash or two, a value behind '=' or as the next
 * word.
 */
#include <stdio.h>
#include <string.h>

#include "cli/vmcred/commands.h"
#include "cli/vmcred/manifest.h"

static void usage_print(void)
{
	printf("Usage: sops-install-secrets [OPTION...] MANIFEST\n\n"
	       "Decrypt the secrets of sops-nix's manifest.json to where it says.\n\nOptions:\n"
	       "  -check-mode MODE       look only: at the \"manifest\", at each \"sopsfile\" too, "
	       "or "
	       "\"off\"\n"
	       "  -ignore-passwd         look no user or group up: all is root's\n");
}

static int usage_fail(struct error *err)
{
	return error_hint(err, "`sops-install-secrets -h` tells how it is used");
}

/* The value of a flag that a word is, "" without one; NULL if it is another flag. */
static const char *flag_value(const char *word, const char *name)
{
	size_t size = strlen(name);

	if (strncmp(word, name, size) != 0 || (word[size] != '=' && word[size] != '\0'))
		return NULL;
	return word + size + (word[size] == '=');
}

static int switch_read(const char *value, bool *on, struct error *err)
{
	static const struct {
		const char *text;
		bool on;
	} values[] = {
		{"", true},       {"1", true},      {"t", true},      {"T", true},  {"true", true},
		{"TRUE", true},   {"True", true},   {"0", false},     {"f", false}, {"F", false},
		{"false", false}, {"FALSE", false}, {"False", false},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (strcmp(value, values[i].text) == 0) {
			*on = values[i].on;
			return 0;
		}
	}
	error_set(err, VMCRED_USAGE, "-ignore-passwd is true or false");
	return usage_fail(err);
}

/* Reads the flags before the first word that is none; returns CLI_HELPED after it printed the help.
 */
static int flags_read(int argc, char **argv, int *first, struct manifest_call *call,
		      struct error *err)
{
	int at = 1, r = 0;

	for (; r == 0 && at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
		const char *word = argv[at] + 1 + (argv[at][1] == '-'), *value;

		if (*word == '\0') {
			at++;
			break;
		}
		if (strcmp(word, "h") == 0 || strcmp(word, "help") == 0) {
			usage_print();
			return CLI_HELPED;
		}
		value = flag_value(word, "ignore-passwd");
		if (value) {
			r = switch_read(value, &call->ignore_passwd, err);
			continue;
		}
		value = flag_value(word, "check-mode");
		if (!value) {
			error_set(err, VMCRED_USAGE, "there is no option -%.*s",
				  (int)strcspn(word, "="), word);
			return usage_fail(err);
		}
		if (!strchr(word, '=') && ++at == argc) {
			error_set(err, VMCRED_USAGE, "-check-mode needs a mode");
			return usage_fail(err);
		}
		call->check_mode = strchr(word, '=') ? value : argv[at];
	}
	*first = at;
	return r;
}

int command_install_secrets(struct cli *cli, int argc, char **argv, struct error *err)
{
	__attribute__((cleanup(activate_result_release))) struct activate_result result = {0};
	struct manifest_call call = {0};
	bool installed;
	int first = 0, r = flags_read(argc, argv, &first, &call, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (argc - first != 1) {
		error_set(err, VMCRED_USAGE, "one manifest is needed");
		return usage_fail(err);
	}
	call.path = argv[first];
	return cli_manifest_activate(cli, &call, &installed, &result, err);
}
