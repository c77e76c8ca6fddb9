/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/commands.h"

int command_rotate(struct invocation *invocation, struct error *err)
{
	const bool in_place = flag_is_on(&invocation->flags, FLAG_IN_PLACE);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_key_group_ struct sops_key_group add = {0}, remove = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	int r = file_argument_check(invocation, err);

	if (r == 0)
		r = sops_output_check(invocation, err);
	if (r == 0)
		r = flag_keys_read(invocation, KEYS_ADDED, &add, err);
	if (r >= 0)
		r = flag_keys_read(invocation, KEYS_REMOVED, &remove, err);
	if (r < 0)
		return r;
	if (add.count + remove.count > 0 && sops_path_is_missing(invocation->arguments[0]))
		return fail(invocation, SOPS_EXIT_KEYS_OF_NO_FILE, err,
			    "changing keys: %s does not exist", invocation->arguments[0]);
	r = sops_file_describe(invocation, invocation->arguments[0], &file, err);
	if (r == 0)
		r = sops_file_open(invocation, &file, &document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_rotate(document, &invocation->keys->keyring, &add, &remove, err);
	return r < 0 ? r
		     : sops_file_write(invocation, &file, document, in_place, OUTPUT_CIPHERTEXT,
				       err);
}
