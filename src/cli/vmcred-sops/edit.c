/* SPDX-License-Identifier: Apache-2.0 */
/* The document in the user's editor. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/program.h"
#include "base/text.h"
#include "cli/editor.h"
#include "cli/vmcred-sops/commands.h"

struct edit {
	struct invocation *invocation;
	struct sops_file file;
	struct sops_document *document; /* owned; decrypted */
	bool is_new;
	bool with_keys;            /* --show-master-keys */
	struct sops_policy policy; /* owned; of a new file */
	struct secret before;      /* the file's content, to detect other writers */
	struct secret shown;       /* the plaintext for the editor */
	struct editor editor;      /* owned; with the plaintext */
	bool is_kept;              /* the text is worth keeping after a failure */
};

static void edit_destroy(struct edit *edit)
{
	sops_file_destroy(&edit->file);
	sops_document_destroy(&edit->document);
	sops_policy_destroy(&edit->policy);
	secret_destroy(&edit->before);
	secret_destroy(&edit->shown);
}

static int example_read(const struct edit *edit, struct sops_document **document, struct error *err)
{
	_cleanup_secret_ struct secret text = {0};
	int r = secret_copy(&text, span_of_text(edit->file.input->example), err);

	return r < 0 ? r
		     : sops_document_read_plain(edit->file.input, &text, edit->file.name, document,
						err);
}

static int new_document_create(struct edit *edit, struct error *err)
{
	struct invocation *invocation = edit->invocation;
	_cleanup_sops_document_ struct sops_document *trial = NULL;
	int r;

	if (edit->with_keys)
		return fail(invocation, SOPS_EXIT_GENERIC, err,
			    "--show-master-keys: %s does not exist", edit->file.name);
	r = policy_choose(invocation, &edit->file, &edit->policy, err);
	if (r == 0)
		r = keyring_prepare(invocation, err);
	if (r == 0)
		r = example_read(edit, &trial, err);
	if (r < 0)
		return r;
	/* Before the user types: the keys must work. */
	invocation->exit_code = SOPS_EXIT_NO_KEY;
	r = sops_document_encrypt(trial, &edit->policy, &invocation->keys->keyring, err);
	return r < 0 ? r : example_read(edit, &edit->document, err);
}

/* Opens the document, or creates it, and writes the plaintext file. */
static int edit_open(struct edit *edit, struct error *err)
{
	struct invocation *invocation = edit->invocation;
	struct sops_file *file = &edit->file;
	_cleanup_free_ char *copy = strdup(invocation->arguments[0]);
	int r;

	if (!copy)
		return error_no_memory(err);
	r = sops_file_describe(invocation, invocation->arguments[0], file, err);
	edit->is_new = access(invocation->arguments[0], F_OK) < 0;
	if (r == 0 && edit->is_new)
		r = new_document_create(edit, err);
	else if (r == 0)
		r = sops_file_read(invocation, file, &edit->before, err);
	if (r == 0 && !edit->is_new)
		r = sops_file_open(invocation, file, &edit->document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = edit->with_keys ? sops_document_write_with_keys(edit->document, file->output,
							    &file->format, &edit->shown, err)
			    : sops_document_write(edit->document, file->output, &file->format,
						  &edit->shown, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_OUTPUT_UNWRITABLE;
	return editor_begin(&edit->editor, basename(copy), secret_span(&edit->shown),
			    &invocation->cli->report, err);
}

/* Runs the editor and reads the file again. */
static int edit_run(const struct edit *edit, struct secret *text, struct error *err)
{
	int r;

	edit->invocation->exit_code = SOPS_EXIT_EDITOR;
	r = editor_run(&edit->editor, err);
	if (r < 0)
		return r;
	edit->invocation->exit_code = SOPS_EXIT_INPUT_UNREADABLE;
	return editor_read(&edit->editor, SOPS_FILE_SIZE_MAX, text, err);
}

/* Replaces the document's content, if it can be encrypted. */
static int edit_accept(const struct edit *edit, const struct secret *text, struct error *err)
{
	int r = sops_document_replace(edit->document, edit->file.input, text,
				      edit->with_keys ? &edit->invocation->keys->keyring : NULL,
				      err);

	edit->invocation->exit_code =
		r == -VMCRED_USAGE ? SOPS_EXIT_ENCRYPTION : SOPS_EXIT_INPUT_UNREADABLE;
	if (r == 0 && !edit->with_keys)
		r = encryption_check(edit->invocation, &edit->file, edit->document, err);
	return r;
}

static int edit_until_valid(struct edit *edit, struct error *err)
{
	for (;;) {
		_cleanup_secret_ struct secret text = {0};
		int r = edit_run(edit, &text, err);

		if (r < 0)
			return r;
		if (secret_equal(secret_span(&text), secret_span(&edit->shown)))
			return fail(edit->invocation, SOPS_EXIT_UNCHANGED, err,
				    "%s is unchanged: the editor made no change", edit->file.name);
		if (edit_accept(edit, &text, err) == 0)
			return 0;
		r = editor_again(edit->file.name, &edit->is_kept, err);
		if (r < 0) {
			if (!edit->is_kept)
				edit->invocation->exit_code = SOPS_EXIT_GENERIC;
			return r;
		}
	}
}

/* Whether no other process wrote the file since it was opened. */
static bool is_untouched(const struct edit *edit)
{
	_cleanup_error_ struct error ignored = {0};
	_cleanup_secret_ struct secret now = {0};

	if (edit->is_new)
		return access(edit->file.path, F_OK) < 0;
	return file_read_secret(AT_FDCWD, edit->file.path, SOPS_FILE_SIZE_MAX, &now, &ignored) ==
		       0 &&
	       secret_equal(secret_span(&now), secret_span(&edit->before));
}

static int edit_write(struct edit *edit, struct error *err)
{
	struct invocation *invocation = edit->invocation;
	_cleanup_secret_ struct secret text = {0};
	_cleanup_free_ char *path = NULL;
	int r;

	edit->is_kept = true;
	invocation->exit_code = SOPS_EXIT_ENCRYPTION;
	r = edit->is_new ? sops_document_encrypt(edit->document, &edit->policy,
						 &invocation->keys->keyring, err)
			 : sops_document_reencrypt(edit->document, err);
	if (r < 0)
		return r;
	invocation->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = sops_document_write(edit->document, edit->file.output, &edit->file.format, &text, err);
	invocation->exit_code = SOPS_EXIT_OUTPUT_UNWRITABLE;
	if (r < 0)
		return r;
	if (is_untouched(edit))
		return output_write(edit->file.path, OUTPUT_CIPHERTEXT, secret_span(&text), err);
	/* Keep the version of the other writer. */
	path = text_format("%s.edited.%d", edit->file.path, (int)getpid());
	if (!path)
		return error_no_memory(err);
	r = output_write(path, OUTPUT_PLAINTEXT, secret_span(&text), err);
	if (r < 0)
		return r;
	edit->is_kept = false;
	error_set(err, VMCRED_FAILED, "%s was changed by another process during the edit",
		  edit->file.name);
	return error_hint(err, "your version, encrypted, is in %s: compare with `sops decrypt`",
			  path);
}

int command_edit(struct invocation *invocation, struct error *err)
{
	__attribute__((cleanup(edit_destroy))) struct edit edit = {
		.invocation = invocation,
		.with_keys = flag_is_on(&invocation->flags, FLAG_SHOW_MASTER_KEYS),
		.editor = EDITOR_NONE};
	int r = file_argument_check(invocation, err);

	if (r == 0)
		r = edit_open(&edit, err);
	if (r == 0)
		r = edit_until_valid(&edit, err);
	if (r == 0)
		r = edit_write(&edit, err);
	if (r < 0 && edit.is_kept)
		(void)editor_keep(&edit.editor, err);
	return editor_end(&edit.editor, err);
}
