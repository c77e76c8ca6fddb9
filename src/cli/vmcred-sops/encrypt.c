/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/encrypt.h"

#include "cli/vmcred-sops/many.h"
#include "cli/vmcred-sops/rules.h"

int encrypt_check(struct sops_call *call, const struct sops_file *file,
		  const struct sops_document *document, struct error *err)
{
	if (sops_document_count(document) == 0) {
		call->exit_code = SOPS_EXIT_NO_DOCUMENT;
		return error_set(err, VMCRED_USAGE, "%s is empty: it needs at least one document",
				 file->name);
	}
	if (sops_document_has_metadata(document, file->output)) {
		call->exit_code = SOPS_EXIT_ENCRYPTED_ALREADY;
		error_set(err, VMCRED_USAGE,
			  "%s has a value at the top where sops keeps its metadata", file->name);
		return error_hint(err, "if it is encrypted already, edit it with `sops edit`; "
				       "if not, rename its key \"sops\" or what begins with "
				       "\"sops_\"");
	}
	return 0;
}

int encrypt_seal(struct sops_call *call, const struct sops_file *file,
		 const struct sops_policy *policy, struct sops_document **document,
		 struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = sops_file_read(call, file, &text, err);

	if (r == 0)
		r = sops_document_read_plain(file->input, &text, file->name, document, err);
	if (r == 0)
		r = encrypt_check(call, file, *document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_GENERIC;
	return sops_document_encrypt(*document, policy, &call->keys->keyring, err);
}

static int file_prepare(struct sops_call *call, const char *path, struct sops_file *file,
			struct sops_policy *policy, struct error *err)
{
	int r = path ? sops_file_require(call, path, err) : 0;

	if (r == 0)
		r = sops_file_describe(call, path, file, err);
	return r < 0 ? r : sops_policy_choose(call, file, policy, err);
}

static int encrypt_one(struct sops_call *call, const char *path, bool in_place, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_sops_policy_ struct sops_policy policy = {0};
	_cleanup_sops_file_ struct sops_file file = {0};
	int r = file_prepare(call, path, &file, &policy, err);

	if (r == 0)
		r = encrypt_seal(call, &file, &policy, &document, err);
	return r < 0 ? r : sops_file_write(call, &file, document, in_place, false, err);
}

static int job_prepare(struct sops_call *call, struct many_job *job, struct error *err)
{
	return file_prepare(call, job->path, &job->file, &job->policy, err);
}

static int job_work(struct sops_call *call, struct many_job *job, struct error *err)
{
	_cleanup_sops_document_ struct sops_document *document = NULL;
	int r = encrypt_seal(call, &job->file, &job->policy, &document, err);

	return r < 0 ? r : sops_file_write(call, &job->file, document, true, false, err);
}

static const struct many_verb many_encrypted = {
	.done = "encrypted", .prepare = job_prepare, .work = job_work};

int verb_encrypt(struct sops_call *call, struct error *err)
{
	bool in_place = sops_flag_is_on(&call->arguments, SOPS_FLAG_IN_PLACE);
	const char *path = call->word_count > 0 ? call->words[0] : NULL;
	int r;

	if (!path && in_place)
		return sops_fail(call, SOPS_EXIT_CONFLICT, err,
				 "--in-place needs a file, not standard input");
	if (!path && !sops_flag_text(&call->arguments, SOPS_FLAG_FILENAME_OVERRIDE)) {
		sops_fail(call, SOPS_EXIT_CONFLICT, err,
			  "standard input has no name that tells its type and creation rule");
		return error_hint(err, "give one with --filename-override NAME");
	}
	r = sops_output_check(call, err);
	if (r == 0)
		r = sops_call_keyring_prepare(call, err);
	if (r < 0)
		return r;
	/* sops takes one file. */
	if (in_place && call->word_count > 1)
		return many_run(call, &many_encrypted, true, err);
	sops_words_warn(call);
	return encrypt_one(call, path, in_place, err);
}
