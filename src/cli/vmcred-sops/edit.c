/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/vmcred-sops/editor.h"
#include "cli/vmcred-sops/encrypt.h"
#include "cli/vmcred-sops/rules.h"

/* One file in the editor. */
struct edit {
	struct sops_call *call;
	struct sops_file file;
	struct sops_document *document; /* owned; open */
	bool is_new;
	bool with_keys;            /* --show-master-keys */
	struct sops_policy policy; /* owned; of a new file */
	struct secret before;      /* the file as it was, to see whether somebody else changes it */
	struct secret shown;       /* the text that the editor gets */
};

static void edit_destroy(struct edit *edit)
{
	sops_file_destroy(&edit->file);
	sops_document_destroy(&edit->document);
	sops_policy_destroy(&edit->policy);
	secret_destroy(&edit->before);
	secret_destroy(&edit->shown);
}

static int edit_open_new(struct edit *edit, struct error *err)
{
	struct sops_call *call = edit->call;
	_cleanup_secret_ struct secret text = {0};
	int r;

	if (edit->with_keys)
		return sops_fail(call, SOPS_EXIT_GENERIC, err,
				 "--show-master-keys needs a file that is there");
	r = sops_policy_choose(call, &edit->file, &edit->policy, err);
	if (r == 0)
		r = sops_call_keyring_prepare(call, err);
	if (r == 0)
		r = secret_copy(&text, sops_store_example(edit->file.input), err);
	return r < 0 ? r
		     : sops_document_read_plain(edit->file.input, &text, edit->file.name,
						&edit->document, err);
}

static int edit_open(struct edit *edit, struct error *err)
{
	struct sops_call *call = edit->call;
	struct sops_file *file = &edit->file;
	int r = sops_file_describe(call, call->words[0], file, err);

	edit->is_new = access(call->words[0], F_OK) < 0;
	if (r == 0 && edit->is_new)
		r = edit_open_new(edit, err);
	else if (r == 0)
		r = sops_file_read(call, file, &edit->before, err);
	if (r == 0 && !edit->is_new)
		r = sops_file_open(call, file, &edit->document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	return edit->with_keys ? sops_document_write_with_keys(edit->document, file->output,
							       &file->format, &edit->shown, err)
			       : sops_document_write(edit->document, file->output, &file->format,
						     &edit->shown, err);
}

/* Takes over what was edited, if it can be encrypted. */
static int edit_accept(struct edit *edit, const struct secret *text, struct error *err)
{
	int r = sops_document_replace(edit->document, edit->file.input, text, edit->with_keys, err);

	edit->call->exit_code = SOPS_EXIT_INPUT_UNREADABLE;
	if (r == 0 && !edit->with_keys)
		r = encrypt_check(edit->call, &edit->file, edit->document, err);
	return r;
}

/*
 * What is wrong with it is said, and the user goes back to the editor, or gives up. Returns 0 to go
 * back. Without somebody to ask, what is wrong is the end.
 */
static int edit_again(struct edit *edit, struct error *err)
{
	_cleanup_free_ char *line = NULL;

	if (!isatty(STDIN_FILENO))
		return error_wrap(err, "%s was not changed: the edited text", edit->file.name);
	line = error_line(err);
	fprintf(stderr, "vmcred: %s\n", line ? line : "out of memory");
	error_clear(err);
	if (foreground_line_wait("Press Enter to go back to the editor, Ctrl-C to give up. ") > 0)
		return 0;
	fputc('\n', stderr);
	return sops_fail(edit->call, SOPS_EXIT_GENERIC, err, "%s was not changed: given up",
			 edit->file.name);
}

static int edit_until_valid(struct edit *edit, struct error *err)
{
	_cleanup_editor_ struct editor editor = EDITOR_NONE;
	int r = 1;

	edit->call->exit_code = SOPS_EXIT_OUTPUT_UNWRITABLE;
	if (editor_open(&editor, edit->file.path, secret_span(&edit->shown), err) < 0)
		return -(int)err->code;
	while (r != 0) {
		_cleanup_secret_ struct secret text = {0};

		edit->call->exit_code = SOPS_EXIT_INPUT_UNREADABLE;
		r = editor_run(&editor, &text, err);
		if (r == -(int)VMCRED_MISSING)
			edit->call->exit_code = SOPS_EXIT_EDITOR;
		if (r < 0)
			return r;
		if (secret_equal(secret_span(&text), secret_span(&edit->shown)))
			return sops_fail(edit->call, SOPS_EXIT_UNCHANGED, err,
					 "%s was not changed in the editor", edit->file.name);
		r = edit_accept(edit, &text, err);
		if (r < 0) {
			r = edit_again(edit, err);
			if (r < 0)
				return r;
			r = 1;
		}
	}
	return 0;
}

/* Whether the file is as it was before the editor was started. */
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

/* Somebody else changed the file: theirs stays, the edit goes beside it, encrypted. */
static int edit_save_beside(const struct edit *edit, struct span content, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s.edited.%d", edit->file.path, (int)getpid()) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	r = sops_path_write(path, true, content, err);
	if (r < 0)
		return r;
	error_set(err, VMCRED_FAILED, "%s was changed by somebody else meanwhile", edit->file.name);
	return error_hint(err, "your version is in %s, encrypted: compare them with `sops decrypt`",
			  path);
}

static int edit_write(struct edit *edit, struct error *err)
{
	struct sops_call *call = edit->call;
	_cleanup_secret_ struct secret text = {0};
	int r;

	call->exit_code = SOPS_EXIT_ENCRYPTION;
	r = edit->is_new ? sops_document_encrypt(edit->document, &edit->policy,
						 &call->keys->keyring, err)
			 : sops_document_reencrypt(edit->document, err);
	if (r < 0)
		return r;
	call->exit_code = SOPS_EXIT_TREE_UNWRITABLE;
	r = sops_document_write(edit->document, edit->file.output, &edit->file.format, &text, err);
	call->exit_code = SOPS_EXIT_OUTPUT_UNWRITABLE;
	if (r < 0)
		return r;
	if (!is_untouched(edit))
		return edit_save_beside(edit, secret_span(&text), err);
	return sops_path_write(edit->file.path, false, secret_span(&text), err);
}

int verb_edit(struct sops_call *call, struct error *err)
{
	__attribute__((cleanup(edit_destroy))) struct edit edit = {
		.call = call,
		.with_keys = sops_flag_is_on(&call->arguments, SOPS_FLAG_SHOW_MASTER_KEYS)};
	int r;

	if (call->word_count < 1)
		return sops_fail(call, SOPS_EXIT_NO_FILE, err, "no file given");
	sops_words_warn(call);
	r = edit_open(&edit, err);
	if (r == 0)
		r = edit_until_valid(&edit, err);
	return r < 0 ? r : edit_write(&edit, err);
}
