/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/files.h"
#include "cli/vmcred-sops/tree_path.h"

/* The document, or what --extract names. */
static int plaintext_write(struct sops_call *call, const struct sops_file *file,
			   const struct sops_document *document, bool in_place, struct error *err)
{
	const char *path = sops_flag_text(&call->arguments, SOPS_FLAG_EXTRACT);
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (!path)
		return sops_file_write(call, file, document, in_place, true, err);
	r = sops_document_extract(document, path, file->output, &file->format, &text, err);
	/* There is no such part, or the store cannot write it. */
	call->exit_code = r == -(int)VMCRED_MISSING ? SOPS_EXIT_GENERIC : SOPS_EXIT_TREE_UNWRITABLE;
	if (r < 0)
		return error_wrap(err, "%s: --extract", file->name);
	return sops_output_write(call, file, in_place, true, secret_span(&text), err);
}

int verb_decrypt(struct sops_call *call, struct error *err)
{
	bool in_place = sops_flag_is_on(&call->arguments, SOPS_FLAG_IN_PLACE);
	const char *path = call->word_count > 0 ? call->words[0] : NULL;
	const char *extract = sops_flag_text(&call->arguments, SOPS_FLAG_EXTRACT);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_file_ struct sops_file file = {0};
	int r;

	if (in_place && !path)
		return sops_fail(call, SOPS_EXIT_CONFLICT, err,
				 "--in-place needs a file, not standard input");
	sops_words_warn(call);
	r = sops_output_check(call, err);
	if (r == 0 && path)
		r = sops_file_require(call, path, err);
	if (r == 0)
		r = sops_file_describe(call, path, &file, err);
	if (r == 0 && extract)
		r = tree_path_check(call, extract, SOPS_EXIT_PATH_FORMAT, "--extract", err);
	if (r == 0)
		r = sops_file_open(call, &file, &document, err);
	return r < 0 ? r : plaintext_write(call, &file, document, in_place, err);
}
