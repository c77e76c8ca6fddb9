/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/editor.h"

#include <errno.h>
#include <fcntl.h>
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
#include "cli/cli.h"
#include "cli/foreground.h"

int editor_begin(struct editor *editor, const char *name, struct span text,
		 const struct report *report, struct error *err)
{
	int r = memory_directory_make(&editor->directory, "the decrypted file", report, err);

	if (r < 0)
		return r;
	editor->name = strdup(name);
	editor->path = editor->name ? path_join(editor->directory.path, name) : NULL;
	return editor->path
		       ? file_write_new(editor->directory.dirfd, name, text, S_IRUSR | S_IWUSR, err)
		       : error_no_memory(err);
}

/* The command line of the editor, and the source of it. The programs draw on a terminal. */
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
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return NULL;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		_cleanup_error_ struct error ignored = {0};
		_cleanup_free_ char *path = NULL;

		if (program_find(programs[i], &path, &ignored) == 0)
			return programs[i];
	}
	return NULL;
}

int editor_run(const struct editor *editor, struct error *err)
{
	_cleanup_strings_ struct strings argv = {0};
	const char *source, *command = editor_find(&source);
	int status = 0, r;

	if (!command) {
		error_set(err, VMCRED_MISSING,
			  "no editor: vim, nano and vi are not installed, or there is no terminal");
		return error_hint(err, "set SOPS_EDITOR or EDITOR");
	}
	r = command_line_split(command, source, &argv, err);
	if (r == 0)
		r = strings_add(&argv, editor->path, err);
	if (r == 0)
		r = foreground_run(argv.items, &status, err);
	if (r == 0)
		r = program_status_check(status, argv.items[0], err);
	return r < 0 ? error_wrap(err, "running %s", source) : 0;
}

int editor_read(const struct editor *editor, size_t size_max, struct secret *text,
		struct error *err)
{
	/* By its name: the editor may have replaced the file. */
	return file_read_secret(editor->directory.dirfd, editor->name, size_max, text, err);
}

int editor_again(const char *what, bool *is_kept, struct error *err)
{
	_cleanup_free_ char *line = NULL;

	if (!isatty(STDIN_FILENO)) {
		*is_kept = true;
		return error_wrap(err, "the file is unchanged: invalid edit");
	}
	line = error_line(err);
	fprintf(stderr, "vmcred: %s\n", line ? line : "out of memory");
	error_clear(err);
	if (foreground_line_wait("Press Enter to return to the editor, Ctrl-C to give up. ") > 0)
		return 0;
	fputc('\n', stderr);
	return error_set(err, VMCRED_USAGE, "%s is unchanged: edit cancelled", what);
}

int editor_keep(struct editor *editor, struct error *err)
{
	_cleanup_free_ char *directory = NULL;
	struct error failure = {0};

	/* The editor may have created another file. */
	if (fchmodat(editor->directory.dirfd, editor->name, S_IRUSR | S_IWUSR, 0) < 0)
		error_set_errno(&failure, errno, "keeping %s", editor->path);
	else
		(void)memory_directory_keep(&editor->directory, &directory, &failure);
	if (!directory)
		return error_add(err, &failure);
	return error_hint(err,
			  "your text, not encrypted, is in %s/%s: use it in the next edit, then "
			  "remove the directory",
			  directory, editor->name);
}

int editor_end(struct editor *editor, struct error *err)
{
	free(editor->name);
	free(editor->path);
	editor->name = editor->path = NULL;
	return memory_directory_remove(&editor->directory, err);
}
