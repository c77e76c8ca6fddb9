/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/commands.h"

int encryption_check(struct invocation *invocation, const struct sops_file *file,
		     const struct sops_document *document, struct error *err)
{
	if (sops_document_count(document) == 0)
		return fail(invocation, SOPS_EXIT_NO_DOCUMENT, err, "%s contains no document",
			    file->name);
	if (sops_document_has_metadata(document, file->output)) {
		fail(invocation, SOPS_EXIT_ENCRYPTED_ALREADY, err,
		     "%s already has SOPS metadata at its top level", file->name);
		return error_hint(err, "edit an encrypted file with `sops edit`; otherwise rename "
				       "its key \"sops\" or keys that begin with \"sops_\"");
	}
	return 0;
}

static int job_prepare(struct invocation *invocation, struct batch_job *job, struct error *err)
{
	int r = job->path ? sops_file_require(invocation, job->path, err) : 0;

	if (r == 0)
		r = sops_file_describe(invocation, job->path, &job->file, err);
	return r < 0 ? r : policy_choose(invocation, &job->file, &job->policy, err);
}

static int job_work(struct invocation *invocation, struct batch_job *job, struct error *err)
{
	const bool in_place = flag_is_on(&invocation->flags, FLAG_IN_PLACE);
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret text = {0};
	int r = sops_file_read(invocation, &job->file, &text, err);

	if (r == 0)
		r = sops_document_read_plain(job->file.input, &text, job->file.name, &document,
					     err);
	if (r == -VMCRED_USAGE)
		invocation->exit_code = SOPS_EXIT_ENCRYPTION;
	if (r == 0)
		r = encryption_check(invocation, &job->file, document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_GENERIC;
	r = sops_document_encrypt(document, &job->policy, &invocation->keys->keyring, err);
	if (r < 0 && sops_document_failure(document) == SOPS_FAILED_VALUE)
		invocation->exit_code = SOPS_EXIT_ENCRYPTION;
	return r < 0 ? r
		     : sops_file_write(invocation, &job->file, document, in_place,
				       OUTPUT_CIPHERTEXT, err);
}

int command_encrypt(struct invocation *invocation, struct error *err)
{
	static const struct batch batch = {
		.done = "encrypted", .prepare = job_prepare, .work = job_work};
	const bool in_place = flag_is_on(&invocation->flags, FLAG_IN_PLACE);
	const char *path = invocation->argument_count > 0 ? invocation->arguments[0] : NULL;
	int r;

	if (!path && in_place)
		return fail(invocation, SOPS_EXIT_CONFLICT, err, "--in-place requires a file");
	if (!path && !flag_text(&invocation->flags, FLAG_FILENAME_OVERRIDE)) {
		fail(invocation, SOPS_EXIT_CONFLICT, err,
		     "standard input has no file name for its type and creation rule");
		return error_hint(err, "pass --filename-override NAME");
	}
	r = sops_output_check(invocation, err);
	if (r == 0)
		r = keyring_prepare(invocation, err);
	if (r < 0)
		return r;
	/* sops encrypts one file only. */
	if (in_place && invocation->argument_count > 1)
		return batch_run(invocation, &batch, true, err);
	extra_arguments_warn(invocation);
	return batch_one(invocation, &batch, path, err);
}
