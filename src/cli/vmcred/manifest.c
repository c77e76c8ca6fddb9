/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred/manifest.h"

#include "cli/sops_keys.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/pool.h"

static const struct {
	const char *name;
	enum manifest_check check;
} check_modes[] = {
	{"off", MANIFEST_INSTALL},
	{"manifest", MANIFEST_CHECK},
	{"sopsfile", MANIFEST_CHECK_DOCUMENTS},
};

#define CHECK_MODES (sizeof(check_modes) / sizeof(check_modes[0]))

static int check_mode_read(const char *text, enum manifest_check *check, struct error *err)
{
	for (size_t i = 0; i < CHECK_MODES; i++) {
		if (strcmp(text ? text : "off", check_modes[i].name) == 0) {
			*check = check_modes[i].check;
			return 0;
		}
	}
	error_set(err, VMCRED_USAGE, "there is no check mode \"%s\"", text);
	return error_hint(err, "it is manifest, sopsfile or off");
}

/* What sops-nix prints, in its words. */
static void changes_print(const struct activate_result *result, bool dry)
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
		char *const *names = result->changes[i];

		if (!names || !names[0])
			continue;
		printf("%s %s%s: %s", dry ? rows[i].dry_verb : rows[i].verb, rows[i].noun,
		       names[1] ? "s" : "", names[0]);
		while (*++names)
			printf(", %s", *names);
		printf("\n");
	}
}

/* `systemctl --no-block VERB UNIT...`: waiting would be for ever where this runs before the units
 * may start. */
static int systemctl_run(const char *verb, char **units, struct error *err)
{
	char program[] = "systemctl", no_block[] = "--no-block", action[32];
	size_t count = config_texts_count(units);
	_cleanup_free_ char **words = calloc(count + 4, sizeof(char *));
	int status = 0, errnum;
	pid_t pid;

	if (count == 0)
		return 0;
	if (!words)
		return error_no_memory(err);
	snprintf(action, sizeof(action), "%s", verb);
	words[0] = program;
	words[1] = no_block;
	words[2] = action;
	memcpy(words + 3, units, count * sizeof(char *));
	errnum = posix_spawnp(&pid, program, NULL, NULL, words, environ);
	if (errnum != 0)
		return error_set_errno(err, errnum, "starting systemctl");
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, errno, "waiting for systemctl");
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, VMCRED_FAILED, "`systemctl %s` failed", verb);
	return 0;
}

static int units_restart(const struct activate_result *result, bool dry, struct error *err)
{
	int r;

	for (char **unit = result->restart_units; dry && unit && *unit; unit++)
		fprintf(stderr, "would restart %s\n", *unit);
	for (char **unit = result->reload_units; dry && unit && *unit; unit++)
		fprintf(stderr, "would reload %s\n", *unit);
	if (dry)
		return 0;
	r = systemctl_run("try-restart", result->restart_units, err);
	return r < 0 ? r : systemctl_run("try-reload-or-restart", result->reload_units, err);
}

static bool variable_is(const char *name, const char *value)
{
	const char *found = getenv(name);

	return found && strcmp(found, value) == 0;
}

/* Where sops finds keys by itself, since sops-install-secrets opens documents as sops does. */
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

int cli_manifest_activate(struct cli *cli, const struct manifest_call *call, bool *installed,
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
	int r = check_mode_read(call->check_mode, &options.check, err);

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
	r = activate_manifest(manifest, &options, &cli->report, result, err);
	if (r == -(int)VMCRED_MISSING && keys.failed)
		return error_wrap(err, "%s", keys.failed);
	if (r < 0)
		return r;
	*installed = true;
	if (!cli->json)
		changes_print(result, options.dry);
	return by_systemctl ? units_restart(result, options.dry, err) : 0;
}
