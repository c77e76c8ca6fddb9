/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form without a verb, which sops keeps for scripts: -d, -e, -r, --set, and a file to edit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "cli/vmcred-sops/rules.h"
#include "cli/vmcred-sops/set.h"
#include "cli/vmcred-sops/tree_path.h"

/* --set '["key"] JSON': the path ends with the first "] ". */
static int old_set(struct sops_call *call, struct error *err)
{
	const char *given = sops_flag_text(&call->arguments, SOPS_FLAG_SET);
	const char *end = strstr(given, "] ");
	_cleanup_secret_ struct secret value = {0};
	_cleanup_free_ char *path = NULL;
	int r;

	if (!end)
		return sops_fail(call, SOPS_EXIT_SET_FORMAT, err,
				 "--set needs a path and a JSON value: '[\"key\"] \"value\"'");
	path = strndup(given, (size_t)(end - given) + 1);
	if (!path)
		return error_no_memory(err);
	r = tree_path_check(call, path, SOPS_EXIT_SET_FORMAT, "--set", err);
	if (r == 0)
		r = secret_append_text(&value, end + 2, err);
	return r < 0 ? r : set_value(call, call->words[0], path, &value, err);
}

/* In the order in which the last one wins; edit where none is given. */
static const struct {
	int (*run)(struct sops_call *call, struct error *err);
	enum sops_flag flag;
	bool is_for_new_files;
} modes[] = {
	{old_set, SOPS_FLAG_SET, true},
	{verb_rotate, SOPS_FLAG_ROTATE, false},
	{verb_decrypt, SOPS_FLAG_DECRYPT, false},
	{verb_encrypt, SOPS_FLAG_ENCRYPT, false},
};

#define MODES (sizeof(modes) / sizeof(modes[0]))

/* Which one is given; MODES: none. */
static size_t mode_find(const struct sops_call *call)
{
	size_t found = MODES, count = 0;

	for (size_t i = 0; i < MODES; i++) {
		const char *value = sops_flag_text(&call->arguments, modes[i].flag);

		if (!value || strcmp(value, "false") == 0)
			continue;
		if (count++ == 0)
			found = i;
	}
	if (count > 1)
		report_message(&call->cli->report, REPORT_WARNING,
			       "only one of --encrypt, --decrypt, --rotate and --set is done: --%s",
			       sops_flag_name(modes[found].flag));
	return found;
}

static int changes_keys(const struct sops_call *call, struct error *err)
{
	__attribute__((cleanup(sops_key_group_destroy))) struct sops_key_group keys = {0};
	int r = sops_flag_keys(call, SOPS_FLAG_ADD_AGE, &keys, err);

	return r < 0 ? r : sops_flag_keys(call, SOPS_FLAG_RM_AGE, &keys, err);
}

/* A file that is not there can be edited, and nothing else. */
static int existence_check(struct sops_call *call, size_t mode, struct error *err)
{
	struct stat status;
	int r;

	if (stat(call->words[0], &status) == 0 || errno != ENOENT)
		return 0;
	r = changes_keys(call, err);
	if (r < 0)
		return r;
	if (r > 0)
		return sops_fail(call, SOPS_EXIT_KEYS_OF_NO_FILE, err,
				 "there is no file %s whose keys could be changed", call->words[0]);
	if (mode < MODES && !modes[mode].is_for_new_files)
		return sops_file_require(call, call->words[0], err);
	return 0;
}

/* A creation rule must be there for all but decryption, though it is not used. */
static int rules_check(struct sops_call *call, struct error *err)
{
	const struct sops_policy *ignored;
	_cleanup_sops_file_ struct sops_file file = {0};
	int r = sops_file_describe(call, call->words[0], &file, err);

	if (r == 0)
		r = sops_rules_load(call, err);
	if (r > 0)
		r = sops_creation_rules_match(call->rules, file.rule_path, &ignored, err);
	return r < 0 ? r : 0;
}

int verb_old_form(struct sops_call *call, struct error *err)
{
	size_t mode = mode_find(call);
	int r;

	if (call->word_count < 1)
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "no file given");
	sops_words_warn(call);
	call->word_count = 1;
	r = sops_output_check(call, err);
	if (r == 0)
		r = existence_check(call, mode, err);
	if (r == 0 && (mode == MODES || modes[mode].flag != SOPS_FLAG_DECRYPT))
		r = rules_check(call, err);
	if (r < 0)
		return r;
	return mode < MODES ? modes[mode].run(call, err) : verb_edit(call, err);
}
