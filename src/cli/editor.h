/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plaintext in the user's editor: a file in a private directory on a memory file system, wiped at
 * the end. The editor's swap and backup files are in the same directory.
 */
#ifndef VMCRED_CLI_EDITOR_H
#define VMCRED_CLI_EDITOR_H

#include "base/report.h"
#include "base/secret.h"
#include "base/trusted/memory_directory.h"

/* Starts as EDITOR_NONE. */
struct editor {
	struct memory_directory directory; /* owned */
	char *name, *path;                 /* owned; of the file */
};

#define EDITOR_NONE                                \
	{                                          \
		.directory = MEMORY_DIRECTORY_NONE \
	}

/* Writes the text to a new file of that name, from which an editor recognizes its type. */
int editor_begin(struct editor *editor, const char *name, struct span text,
		 const struct report *report, struct error *err);

/* Runs the program in $SOPS_EDITOR or $EDITOR, or else vim, nano or vi, to its end. */
int editor_run(const struct editor *editor, struct error *err);

/* Reads the file again. */
int editor_read(const struct editor *editor, size_t size_max, struct secret *text,
		struct error *err);

/*
 * After an invalid edit, for which the error is set: prints it and returns 0 to edit again. Fails
 * if the user gives up, which does not keep the text, or cannot be asked: then with
 * `*is_kept`. `what` was edited.
 */
int editor_again(const char *what, bool *is_kept, struct error *err);

/* After a failure: leaves the text to the user, and adds a hint to the error. */
int editor_keep(struct editor *editor, struct error *err);

/* Removes the file, unless it is kept. A failure is added to an error that is set: error_add(). */
int editor_end(struct editor *editor, struct error *err);

#endif
