/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document in the user's editor: a plaintext file in a private directory on a memory file
 * system, wiped at the end. It has the document's name, so that the editor recognizes its type, and
 * the editor's swap and backup files are in the same directory.
 */
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
#include "base/path.h"
#include "base/program.h"
#include "base/text.h"
#include "base/trusted/memory_directory.h"
#include "cli/vmcred-sops/commands.h"

struct edit {
	struct invocation *invocation;
	struct sops_file file;
	struct sops_document *document; /* owned; decrypted */
	bool is_new;
	bool with_keys;                    /* --show-master-keys */
	struct sops_policy policy;         /* owned; of a new file */
	struct secret before;              /* the file's content, to detect other writers */
	struct secret shown;               /* the plaintext for the editor */
	struct memory_directory directory; /* owned */
	char *name, *path;                 /* owned; of the plaintext file */
	bool is_kept;                      /* the text is worth keeping after a failure */
};

static void edit_destroy(struct edit *edit)
{
	sops_file_destroy(&edit->file);
	sops_document_destroy(&edit->document);
	sops_policy_destroy(&edit->policy);
	secret_destroy(&edit->before);
	secret_destroy(&edit->shown);
	free(edit->name);
	free(edit->path);
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
	r = memory_directory_make(&edit->directory, "the decrypted file", &invocation->cli->report,
				  err);
	if (r < 0)
		return r;
	edit->name = strdup(basename(copy));
	edit->path = edit->name ? path_join(edit->directory.path, edit->name) : NULL;
	if (!edit->path)
		return error_no_memory(err);
	return file_write_new(edit->directory.dirfd, edit->name, secret_span(&edit->shown),
			      S_IRUSR | S_IWUSR, err);
}

/* The command line of the editor, and the source of it. */
static const char *editor_find(const char **source)
{
	static const char *const variables[] = {"SOPS_EDITOR", "EDITOR"};
	static const char *const programs[] = {"vim", "nano", "vi"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = getenv(variables[i]);

		*source = variables[i];
		if (value && *value)
			return value;
	}
	*source = "the editor";
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		_cleanup_error_ struct error ignored = {0};
		_cleanup_free_ char *path = NULL;

		if (program_find(programs[i], &path, &ignored) == 0)
			return programs[i];
	}
	return NULL;
}

/* Runs the editor and reads the file again. */
static int editor_run(const struct edit *edit, struct secret *text, struct error *err)
{
	_cleanup_strings_ struct strings argv = {0};
	const char *source, *command = editor_find(&source);
	int status = 0, r;

	edit->invocation->exit_code = SOPS_EXIT_EDITOR;
	if (!command) {
		error_set(err, VMCRED_MISSING, "no editor: vim, nano and vi are not installed");
		return error_hint(err, "set SOPS_EDITOR or EDITOR");
	}
	r = command_line_split(command, source, &argv, err);
	if (r == 0)
		r = strings_add(&argv, edit->path, err);
	if (r == 0)
		r = foreground_run(argv.items, &status, err);
	if (r == 0)
		r = program_status_check(status, argv.items[0], err);
	if (r < 0)
		return error_wrap(err, "running %s", source);
	edit->invocation->exit_code = SOPS_EXIT_INPUT_UNREADABLE;
	/* By its name: the editor may have replaced the file. */
	return file_read_secret(edit->directory.dirfd, edit->name, SOPS_FILE_SIZE_MAX, text, err);
}

/* Replaces the document's content, if it can be encrypted. */
static int edit_accept(const struct edit *edit, const struct secret *text, struct error *err)
{
	int r = sops_document_replace(edit->document, edit->file.input, text, edit->with_keys, err);

	edit->invocation->exit_code =
		r == -VMCRED_USAGE ? SOPS_EXIT_ENCRYPTION : SOPS_EXIT_INPUT_UNREADABLE;
	if (r == 0 && !edit->with_keys)
		r = encryption_check(edit->invocation, &edit->file, edit->document, err);
	return r;
}

/* Prints the error and returns 0 to edit again; fails if the user gives up or cannot be asked. */
static int edit_again(struct edit *edit, struct error *err)
{
	_cleanup_free_ char *line = NULL;

	if (!isatty(STDIN_FILENO)) {
		edit->is_kept = true;
		return error_wrap(err, "the file is unchanged: invalid edit");
	}
	line = error_line(err);
	fprintf(stderr, "vmcred: %s\n", line ? line : "out of memory");
	error_clear(err);
	if (foreground_line_wait("Press Enter to return to the editor, Ctrl-C to give up. ") > 0)
		return 0;
	fputc('\n', stderr);
	return fail(edit->invocation, SOPS_EXIT_GENERIC, err, "%s is unchanged: edit cancelled",
		    edit->file.name);
}

static int edit_until_valid(struct edit *edit, struct error *err)
{
	for (;;) {
		_cleanup_secret_ struct secret text = {0};
		int r = editor_run(edit, &text, err);

		if (r < 0)
			return r;
		if (secret_equal(secret_span(&text), secret_span(&edit->shown)))
			return fail(edit->invocation, SOPS_EXIT_UNCHANGED, err,
				    "%s is unchanged: the editor made no change", edit->file.name);
		if (edit_accept(edit, &text, err) == 0)
			return 0;
		r = edit_again(edit, err);
		if (r < 0)
			return r;
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

/* Leaves the text of a failed edit to the user. */
static int edit_keep(struct edit *edit, struct error *err)
{
	_cleanup_free_ char *directory = NULL;
	struct error failure = {0};

	/* The editor may have created another file. */
	if (fchmodat(edit->directory.dirfd, edit->name, S_IRUSR | S_IWUSR, 0) < 0)
		error_set_errno(&failure, errno, "keeping %s", edit->path);
	else
		(void)memory_directory_keep(&edit->directory, &directory, &failure);
	if (!directory)
		return error_add(err, &failure);
	return error_hint(err,
			  "your text, not encrypted, is in %s/%s: use it in the next edit, then "
			  "remove the directory",
			  directory, edit->name);
}

int command_edit(struct invocation *invocation, struct error *err)
{
	__attribute__((cleanup(edit_destroy))) struct edit edit = {
		.invocation = invocation,
		.with_keys = flag_is_on(&invocation->flags, FLAG_SHOW_MASTER_KEYS),
		.directory = MEMORY_DIRECTORY_NONE};
	int r = file_argument_check(invocation, err);

	if (r == 0)
		r = edit_open(&edit, err);
	if (r == 0)
		r = edit_until_valid(&edit, err);
	if (r == 0)
		r = edit_write(&edit, err);
	if (r < 0 && edit.is_kept)
		(void)edit_keep(&edit, err);
	return memory_directory_remove(&edit.directory, err);
}
