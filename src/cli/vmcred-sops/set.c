/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/vmcred-sops/commands.h"

int tree_path_check(struct invocation *invocation, const char *path, enum sops_exit code,
		    const char *what, struct error *err)
{
	int r = sops_path_check(path, err);

	if (r == 0)
		return 0;
	invocation->exit_code = code;
	return error_wrap(err, "%s", what);
}

int value_set(struct invocation *invocation, const char *name, const char *path,
	      struct secret *value, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	bool changed = false;
	int r = sops_file_describe(invocation, name, &file, err);

	if (r == 0)
		r = sops_file_open(invocation, &file, &document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_SET_FORMAT;
	r = sops_document_set(document, path, value, &changed, err);
	if (r < 0)
		return r;
	if (!changed && flag_is_on(&invocation->flags, FLAG_IDEMPOTENT)) {
		report_message(&invocation->cli->report, REPORT_INFO, "%s: unchanged", file.name);
		return 0;
	}
	r = encryption_check(invocation, &file, document, err);
	return r < 0 ? r : sops_file_rewrite(invocation, &file, document, err);
}

int command_set(struct invocation *invocation, struct error *err)
{
	const bool from_stdin = flag_is_on(&invocation->flags, FLAG_VALUE_STDIN);
	const bool from_file = flag_is_on(&invocation->flags, FLAG_VALUE_FILE);
	char **arguments = invocation->arguments;
	_cleanup_secret_ struct secret value = {0};
	int r;

	if (from_stdin && from_file)
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "--value-file conflicts with --value-stdin");
	if (invocation->argument_count != (from_stdin ? 2 : 3))
		return fail(invocation, SOPS_EXIT_NO_FILE, err, "expected FILE PATH%s",
			    from_stdin ? "" : " VALUE");
	r = tree_path_check(invocation, arguments[1], SOPS_EXIT_SET_FORMAT, "PATH", err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_GENERIC;
	if (from_stdin)
		r = secret_read(&value, STDIN_FILENO, SOPS_FILE_SIZE_MAX, "standard input", err);
	else if (from_file)
		r = file_read_secret(AT_FDCWD, arguments[2], SOPS_FILE_SIZE_MAX, &value, err);
	else
		r = secret_append_text(&value, arguments[2], err);
	return r < 0 ? r : value_set(invocation, arguments[0], arguments[1], &value, err);
}

int command_unset(struct invocation *invocation, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	char **arguments = invocation->arguments;
	int r;

	if (invocation->argument_count != 2)
		return fail(invocation, SOPS_EXIT_NO_FILE, err, "expected FILE PATH");
	r = tree_path_check(invocation, arguments[1], SOPS_EXIT_SET_FORMAT, "PATH", err);
	if (r == 0)
		r = sops_file_describe(invocation, arguments[0], &file, err);
	if (r == 0)
		r = sops_file_open(invocation, &file, &document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_unset(document, arguments[1], err);
	if (r == -(int)VMCRED_MISSING && flag_is_on(&invocation->flags, FLAG_IDEMPOTENT)) {
		error_clear(err);
		return 0;
	}
	return r < 0 ? r : sops_file_rewrite(invocation, &file, document, err);
}
