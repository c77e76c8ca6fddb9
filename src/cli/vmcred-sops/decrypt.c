/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/commands.h"

int command_decrypt(struct invocation *invocation, struct error *err)
{
	const bool in_place = flag_is_on(&invocation->flags, FLAG_IN_PLACE);
	const char *path = invocation->argument_count > 0 ? invocation->arguments[0] : NULL;
	const char *extract = flag_text(&invocation->flags, FLAG_EXTRACT);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (in_place && !path)
		return fail(invocation, SOPS_EXIT_CONFLICT, err, "--in-place requires a file");
	extra_arguments_warn(invocation);
	r = sops_output_check(invocation, err);
	if (r == 0 && path)
		r = sops_file_require(invocation, path, err);
	if (r == 0)
		r = sops_file_describe(invocation, path, &file, err);
	if (r == 0 && extract)
		r = tree_path_check(invocation, extract, SOPS_EXIT_PATH_FORMAT, "--extract", err);
	if (r == 0)
		r = sops_file_open(invocation, &file, &document, err);
	if (r < 0)
		return r;
	if (!extract)
		return sops_file_write(invocation, &file, document, in_place, OUTPUT_PLAINTEXT,
				       err);
	r = sops_document_extract(document, extract, file.output, &file.format, &text, err);
	/* The store cannot represent the part, or it does not exist. */
	invocation->exit_code =
		r == -(int)VMCRED_FAILED ? SOPS_EXIT_TREE_UNWRITABLE : SOPS_EXIT_GENERIC;
	if (r < 0)
		return error_wrap(err, "--extract");
	return sops_output_write(invocation, &file, in_place, OUTPUT_PLAINTEXT, secret_span(&text),
				 err);
}
