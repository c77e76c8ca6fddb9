/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/stat.h>

#include "cli/vmcred-sops/files.h"
#include "cli/vmcred-sops/rules.h"

#define _cleanup_group_ __attribute__((cleanup(sops_key_group_destroy)))

int verb_rotate(struct sops_call *call, struct error *err)
{
	bool in_place = sops_flag_is_on(&call->arguments, SOPS_FLAG_IN_PLACE);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_group_ struct sops_key_group add = {0}, remove = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	struct stat status;
	int r;

	if (call->word_count < 1)
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "no file given");
	sops_words_warn(call);
	r = sops_output_check(call, err);
	if (r == 0)
		r = sops_flag_keys(call, SOPS_FLAG_ADD_AGE, &add, err);
	if (r >= 0)
		r = sops_flag_keys(call, SOPS_FLAG_RM_AGE, &remove, err);
	if (r < 0)
		return r;
	if (add.count + remove.count > 0 && stat(call->words[0], &status) < 0 && errno == ENOENT)
		return sops_fail(call, SOPS_EXIT_KEYS_OF_NO_FILE, err,
				 "there is no file %s whose keys could be changed", call->words[0]);
	r = sops_file_describe(call, call->words[0], &file, err);
	if (r == 0)
		r = sops_file_open(call, &file, &document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_rotate(document, &call->keys->keyring, &add, &remove, err);
	return r < 0 ? r : sops_file_write(call, &file, document, in_place, false, err);
}
