/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activate/manifest/manifest.h"
#include "base/pool.h"
#include "cli/sops_keys.h"
#include "cli/vmcred/commands.h"

static int check_mode_parse(const char *text, enum manifest_check *check, struct error *err)
{
	static const char *const modes[] = {
		[MANIFEST_INSTALL] = "off",
		[MANIFEST_CHECK] = "manifest",
		[MANIFEST_CHECK_DOCUMENTS] = "sopsfile",
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(text ? text : "off", modes[i]) == 0) {
			*check = (enum manifest_check)i;
			return 0;
		}
	}
	return error_set(err, VMCRED_USAGE,
			 "unknown check mode \"%s\": use manifest, sopsfile or off", text);
}

/* Prints the same text as sops-nix. */
void cli_changes_print(const struct activate_result *result, bool dry)
{
	static const struct {
		const char *verb, *dry_verb, *noun;
	} rows[ACTIVATE_CHANGES] = {
		[ACTIVATE_ADDED] = {"adding", "would add", "secret"},
		[ACTIVATE_MODIFIED] = {"modifying", "would modify", "secret"},
		[ACTIVATE_REMOVED] = {"removing", "would remove", "secret"},
		[ACTIVATE_RENDERED_ADDED] = {"adding", "would add", "rendered secret"},
		[ACTIVATE_RENDERED_MODIFIED] = {"modifying", "would modify", "rendered secret"},
		[ACTIVATE_RENDERED_REMOVED] = {"removing", "would remove", "rendered secret"},
	};

	for (size_t i = 0; i < ACTIVATE_CHANGES; i++) {
		const struct strings *names = &result->changes[i];

		if (names->count == 0)
			continue;
		printf("%s %s%s: %s", dry ? rows[i].dry_verb : rows[i].verb, rows[i].noun,
		       names->count > 1 ? "s" : "", names->items[0]);
		for (size_t j = 1; j < names->count; j++)
			printf(", %s", names->items[j]);
		printf("\n");
	}
}

static int units_restart(const struct activate_result *result, bool dry, struct error *err)
{
	int r;

	for (size_t i = 0; dry && i < result->restart_units.count; i++)
		fprintf(stderr, "would restart %s\n", result->restart_units.items[i]);
	for (size_t i = 0; dry && i < result->reload_units.count; i++)
		fprintf(stderr, "would reload %s\n", result->reload_units.items[i]);
	if (dry)
		return 0;
	/* This may run before the units can start, so that waiting would never end. */
	r = cli_systemctl("try-restart", false, &result->restart_units, err);
	return r < 0 ? r
		     : cli_systemctl("try-reload-or-restart", false, &result->reload_units, err);
}

static bool variable_is(const char *name, const char *value)
{
	const char *found = getenv(name);

	return found && strcmp(found, value) == 0;
}

/* The keys that sops finds without a manifest: sops-install-secrets tries them too. */
static int user_keys_load(struct cli *cli, const struct manifest *manifest, struct sops_keys *keys,
			  struct error *err)
{
	const char *home = manifest_gnupg_home(manifest);

	if (home && setenv("GNUPGHOME", home, 1) < 0)
		return error_no_memory(err);
	if (manifest_has_age_keys(manifest))
		(void)unsetenv("SOPS_AGE_KEY_FILE");
	return sops_keys_load(keys, &cli->report, NULL, err);
}

int cli_manifest_install(struct cli *cli, const struct cli_manifest *call, bool *installed,
			 struct activate_result *result, struct error *err)
{
	_cleanup_manifest_ struct manifest *manifest = NULL;
	__attribute__((cleanup(sops_keys_destroy))) struct sops_keys keys = {0};
	const char *gpg = getenv("SOPS_GPG_EXEC");
	bool by_systemctl = variable_is("SOPS_RESTART_UNITS_VIA_SYSTEMCTL", "1");
	struct manifest_options options = {
		.ignore_passwd = call->ignore_passwd,
		.dry = variable_is("NIXOS_ACTION", "dry-activate"),
		.list_units = !by_systemctl,
		.runtime_dir = getenv("XDG_RUNTIME_DIR"),
		.gpg = gpg && *gpg ? gpg : "gpg",
	};
	int r = check_mode_parse(call->check_mode, &options.check, err);

	*installed = false;
	cli->threads = pool_threads();
	if (r == 0)
		r = cli_harden(cli, err);
	if (r == 0)
		r = manifest_read(call->path, &options, &manifest, err);
	if (r < 0 || options.check != MANIFEST_INSTALL)
		return r;
	r = user_keys_load(cli, manifest, &keys, err);
	if (r < 0)
		return r;
	options.identities = &keys.identities;
	r = manifest_install(manifest, &options, &cli->report, result, err);
	if (r == -(int)VMCRED_MISSING && keys.failed)
		return error_wrap(err, "%s", keys.failed);
	if (r < 0)
		return r;
	*installed = true;
	if (!cli->json)
		cli_changes_print(result, options.dry);
	return by_systemctl ? units_restart(result, options.dry, err) : 0;
}

static void usage_print(void)
{
	printf("Usage: sops-install-secrets [OPTION...] MANIFEST\n\n"
	       "Decrypt the secrets of a manifest.json of sops-nix, and install them.\n\nOptions:\n"
	       "  -check-mode MODE       only check: the \"manifest\", or also the documents in\n"
	       "                         it (\"sopsfile\"); default \"off\"\n"
	       "  -ignore-passwd         do not resolve users and groups: everything is root's\n");
}

static int usage_fail(struct error *err)
{
	return error_hint(err, "see `sops-install-secrets -h`");
}

/* The value in an argument "NAME=VALUE", "" in "NAME"; NULL for another flag. */
static const char *flag_value(const char *argument, const char *name)
{
	size_t size = strlen(name);

	if (strncmp(argument, name, size) != 0 || (argument[size] != '=' && argument[size] != '\0'))
		return NULL;
	return argument + size + (argument[size] == '=');
}

static int switch_parse(const char *value, bool *on, struct error *err)
{
	static const char *const values[2][7] = {
		{"0", "f", "F", "false", "FALSE", "False"},
		{"", "1", "t", "T", "true", "TRUE", "True"},
	};

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < 7 && values[i][j]; j++) {
			if (strcmp(value, values[i][j]) == 0) {
				*on = i == 1;
				return 0;
			}
		}
	}
	error_set(err, VMCRED_USAGE, "-ignore-passwd must be true or false");
	return usage_fail(err);
}

/* Parses flags as Go's flag package does: one dash or two, a value after '=' or in the next
 * argument. Returns CLI_HELPED after it printed the help. */
static int flags_parse(int argc, char **argv, int *first, struct cli_manifest *call,
		       struct error *err)
{
	int at = 1, r = 0;

	for (; r == 0 && at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
		const char *argument = argv[at] + 1 + (argv[at][1] == '-'), *value;

		if (*argument == '\0') {
			at++;
			break;
		}
		if (strcmp(argument, "h") == 0 || strcmp(argument, "help") == 0) {
			usage_print();
			return CLI_HELPED;
		}
		value = flag_value(argument, "ignore-passwd");
		if (value) {
			r = switch_parse(value, &call->ignore_passwd, err);
			continue;
		}
		value = flag_value(argument, "check-mode");
		if (!value) {
			error_set(err, VMCRED_USAGE, "unknown option -%.*s",
				  (int)strcspn(argument, "="), argument);
			return usage_fail(err);
		}
		if (!strchr(argument, '=') && ++at == argc) {
			error_set(err, VMCRED_USAGE, "-check-mode needs an argument");
			return usage_fail(err);
		}
		call->check_mode = strchr(argument, '=') ? value : argv[at];
	}
	*first = at;
	return r;
}

static int manifest_install_given(struct cli *cli, int argc, char **argv, struct error *err)
{
	_cleanup_activate_result_ struct activate_result result = {0};
	struct cli_manifest call = {0};
	bool installed;
	int first = 0, r = flags_parse(argc, argv, &first, &call, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (argc - first != 1) {
		error_set(err, VMCRED_USAGE, "expected one manifest");
		return usage_fail(err);
	}
	call.path = argv[first];
	return cli_manifest_install(cli, &call, &installed, &result, err);
}

/* As the original's, the exit status of each failure is 1. */
int command_install_secrets(struct cli *cli, int argc, char **argv, struct error *err)
{
	return manifest_install_given(cli, argc, argv, err) < 0 ? -(int)VMCRED_FAILED : 0;
}
