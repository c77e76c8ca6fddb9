/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/editor.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/program.h"
#include "cli/vmcred-sops/call.h"

int editor_open(struct editor *editor, const char *path, struct span text, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path);
	int r;

	if (!copy)
		return error_no_memory(err);
	r = memory_directory_make(&editor->folder, "the decrypted file", err);
	if (r < 0)
		return r;
	editor->name = strdup(basename(copy));
	editor->path = editor->name ? path_join(editor->folder.path, editor->name) : NULL;
	if (!editor->path)
		return error_no_memory(err);
	return file_write_new(editor->folder.dirfd, editor->name, text, S_IRUSR | S_IWUSR, err);
}

void editor_close(struct editor *editor)
{
	memory_directory_remove(&editor->folder);
	free(editor->name);
	free(editor->path);
	*editor = (struct editor)EDITOR_NONE;
}

/* Whether a program of that name is in a folder of $PATH. */
static bool is_installed(const char *name)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t size = strcspn(path, ":");
		_cleanup_free_ char *folder = strndup(path, size);
		_cleanup_free_ char *program = folder ? path_join(folder, name) : NULL;

		if (program && access(program, X_OK) == 0)
			return true;
		path += size + (path[size] == ':');
	}
	return false;
}

/* The command line of the editor, and what told it. */
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
		if (is_installed(programs[i]))
			return programs[i];
	}
	return NULL;
}

static int editor_start(const struct editor *editor, struct error *err)
{
	const char *source, *command = editor_find(&source);
	_cleanup_strings_ struct strings argv = {0};
	int status = 0, r;

	if (!command) {
		error_set(err, VMCRED_MISSING, "there is no vim, nano or vi in $PATH");
		return error_hint(err, "name an editor in SOPS_EDITOR or EDITOR");
	}
	r = command_line_split(command, source, &argv, err);
	if (r == 0)
		r = strings_add(&argv, editor->path, err);
	if (r == 0)
		r = foreground_run(argv.items, &status, err);
	if (r == 0)
		r = program_status_check(status, "it", err);
	if (r < 0) {
		error_wrap(err, "running %s", source);
		err->code = VMCRED_MISSING;
		return -(int)VMCRED_MISSING;
	}
	return 0;
}

int editor_run(const struct editor *editor, struct secret *text, struct error *err)
{
	int r = editor_start(editor, err);

	if (r < 0)
		return r;
	/* By its path: an editor may have put a new file in its place. */
	return file_read_secret(editor->folder.dirfd, editor->name, SOPS_FILE_SIZE_MAX, text, err);
}
