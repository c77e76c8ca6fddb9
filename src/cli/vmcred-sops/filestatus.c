/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/vmcred-sops/commands.h"

int command_filestatus(struct invocation *invocation, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	int r;

	if (invocation->argument_count < 1)
		return fail(invocation, SOPS_EXIT_NO_FILE, err, "no file given");
	r = sops_file_describe(invocation, invocation->arguments[0], &file, err);
	if (r == 0)
		r = sops_file_read(invocation, &file, &text, err);
	/* sops has one exit code for all failures of this command. */
	invocation->exit_code = SOPS_EXIT_GENERIC;
	if (r < 0)
		return r;
	r = sops_document_is_encrypted(file.input, &text, file.name, err);
	if (r < 0 && r != -VMCRED_USAGE)
		return r;
	/* A YAML file that cannot be encrypted is not encrypted. */
	error_clear(err);
	printf("{\"encrypted\":%s}\n", r > 0 ? "true" : "false");
	return 0;
}
