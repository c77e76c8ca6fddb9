/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/vmcred-sops/files.h"

int verb_filestatus(struct sops_call *call, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	int r;

	if (call->word_count < 1)
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "no file given");
	r = sops_file_describe(call, call->words[0], &file, err);
	if (r == 0)
		r = sops_file_read(call, &file, &text, err);
	/* Whatever is wrong, it is this to sops. */
	call->exit_code = SOPS_EXIT_GENERIC;
	if (r == 0)
		r = sops_document_is_encrypted(file.input, &text, file.name, err);
	if (r < 0)
		return r;
	printf("{\"encrypted\":%s}\n", r > 0 ? "true" : "false");
	return 0;
}
