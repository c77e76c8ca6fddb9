/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/file.h"
#include "cli/vmcred-sops/encrypt.h"
#include "cli/vmcred-sops/set.h"
#include "cli/vmcred-sops/tree_path.h"

/* The JSON value: an argument, a file's content, or standard input. */
static int value_read(struct sops_call *call, struct secret *value, struct error *err)
{
	call->exit_code = SOPS_EXIT_GENERIC;
	if (sops_flag_is_on(&call->arguments, SOPS_FLAG_VALUE_STDIN))
		return secret_read(value, STDIN_FILENO, SOPS_FILE_SIZE_MAX, "standard input", err);
	if (sops_flag_is_on(&call->arguments, SOPS_FLAG_VALUE_FILE))
		return file_read_secret(AT_FDCWD, call->words[2], SOPS_FILE_SIZE_MAX, value, err);
	return secret_append_text(value, call->words[2], err);
}

int set_value(struct sops_call *call, const char *name, const char *path, struct secret *value,
	      struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	bool changed = false;
	int r = sops_file_describe(call, name, &file, err);

	if (r == 0)
		r = sops_file_open(call, &file, &document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_SET_FORMAT;
	r = sops_document_set(document, path, value, &changed, err);
	if (r < 0)
		return error_wrap(err, "%s", file.name);
	if (!changed && sops_flag_is_on(&call->arguments, SOPS_FLAG_IDEMPOTENT)) {
		report_message(&call->cli->report, REPORT_INFO, "%s is so already", file.name);
		return 0;
	}
	r = encrypt_check(call, &file, document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_ENCRYPTION;
	r = sops_document_reencrypt(document, err);
	return r < 0 ? r : sops_file_write(call, &file, document, true, false, err);
}

int verb_set(struct sops_call *call, struct error *err)
{
	bool from_stdin = sops_flag_is_on(&call->arguments, SOPS_FLAG_VALUE_STDIN);
	bool from_file = sops_flag_is_on(&call->arguments, SOPS_FLAG_VALUE_FILE);
	_cleanup_secret_ struct secret value = {0};
	int r;

	if (from_stdin && from_file)
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "--value-file and --value-stdin do not go together");
	if (call->word_count != (from_stdin ? 2 : 3))
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "needs FILE, PATH%s",
				 from_stdin ? " and nothing else" : " and VALUE");
	r = tree_path_check(call, call->words[1], SOPS_EXIT_SET_FORMAT, "the path", err);
	if (r == 0)
		r = value_read(call, &value, err);
	return r < 0 ? r : set_value(call, call->words[0], call->words[1], &value, err);
}

int verb_unset(struct sops_call *call, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	int r;

	if (call->word_count != 2)
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "needs FILE and PATH");
	r = tree_path_check(call, call->words[1], SOPS_EXIT_SET_FORMAT, "the path", err);
	if (r == 0)
		r = sops_file_describe(call, call->words[0], &file, err);
	if (r == 0)
		r = sops_file_open(call, &file, &document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_unset(document, call->words[1], err);
	if (r == -(int)VMCRED_MISSING && sops_flag_is_on(&call->arguments, SOPS_FLAG_IDEMPOTENT)) {
		error_clear(err);
		return 0;
	}
	if (r < 0)
		return error_wrap(err, "%s", file.name);
	call->exit_code = SOPS_EXIT_ENCRYPTION;
	r = sops_document_reencrypt(document, err);
	return r < 0 ? r : sops_file_write(call, &file, document, true, false, err);
}
