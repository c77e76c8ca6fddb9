/* SPDX-License-Identifier: Apache-2.0 */
/* The form without a command, which sops keeps for scripts: -d, -e, -r, --set, or a file to edit.
 */
#include <string.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/commands.h"

/* --set '["key"] JSON': the path ends with the first "] ". */
static int legacy_set(struct invocation *invocation, struct error *err)
{
	const char *given = flag_text(&invocation->flags, FLAG_SET);
	const char *end = strstr(given, "] ");
	_cleanup_secret_ struct secret value = {0};
	_cleanup_free_ char *path = NULL;
	int r;

	if (!end)
		return fail(invocation, SOPS_EXIT_SET_FORMAT, err,
			    "--set must be a path and a JSON value: '[\"key\"] \"value\"'");
	path = strndup(given, (size_t)(end - given) + 1);
	if (!path)
		return error_no_memory(err);
	r = tree_path_check(invocation, path, SOPS_EXIT_SET_FORMAT, "--set", err);
	if (r == 0)
		r = secret_append_text(&value, end + 2, err);
	return r < 0 ? r : value_set(invocation, invocation->arguments[0], path, &value, err);
}

/* Of several flags the first one here wins; without any the file is edited. */
static const struct mode {
	int (*run)(struct invocation *invocation, struct error *err);
	enum flag flag;
	bool requires_file;
} modes[] = {
	{legacy_set, FLAG_SET, false},
	{command_rotate, FLAG_ROTATE, true},
	{command_decrypt, FLAG_DECRYPT, true},
	{command_encrypt, FLAG_ENCRYPT, true},
};

static const struct mode edit_mode = {command_edit, FLAG_COUNT, false};

static const struct mode *mode_find(const struct invocation *invocation)
{
	const struct mode *found = &edit_mode;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		const char *value = flag_text(&invocation->flags, modes[i].flag);

		if (!value || strcmp(value, "false") == 0)
			continue;
		if (found != &edit_mode) {
			report_message(&invocation->cli->report, REPORT_WARNING,
				       "--encrypt, --decrypt, --rotate and --set conflict: "
				       "using --%s",
				       flag_name(found->flag));
			break;
		}
		found = &modes[i];
	}
	return found;
}

/* A missing file can only be edited. */
static int existence_check(struct invocation *invocation, const struct mode *mode,
			   struct error *err)
{
	_cleanup_sops_key_group_ struct sops_key_group keys = {0};
	const char *path = invocation->arguments[0];
	int r;

	if (!sops_path_is_missing(path))
		return 0;
	r = flag_keys_read(invocation, KEYS_ADDED, &keys, err);
	if (r >= 0)
		r = flag_keys_read(invocation, KEYS_REMOVED, &keys, err);
	if (r < 0)
		return r;
	if (r > 0)
		return fail(invocation, SOPS_EXIT_KEYS_OF_NO_FILE, err,
			    "changing keys: %s does not exist", path);
	return mode->requires_file ? sops_file_require(invocation, path, err) : 0;
}

int command_legacy(struct invocation *invocation, struct error *err)
{
	const struct mode *mode = mode_find(invocation);
	_cleanup_sops_file_ struct sops_file file = {0};
	const struct sops_policy *ignored;
	int r = file_argument_check(invocation, err);

	invocation->argument_count = 1;
	if (r == 0)
		r = sops_output_check(invocation, err);
	if (r == 0)
		r = existence_check(invocation, mode, err);
	if (r < 0 || mode->flag == FLAG_DECRYPT)
		return r < 0 ? r : mode->run(invocation, err);
	/* As in sops, a creation rule must match, although it is not used. */
	r = sops_file_describe(invocation, invocation->arguments[0], &file, err);
	if (r == 0)
		r = rules_load(invocation, false, err);
	if (r > 0)
		r = sops_creation_rules_match(invocation->rules, file.rule_path, &ignored, err);
	return r < 0 ? r : mode->run(invocation, err);
}
