/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plaintext in the user's editor: a file in a private folder on a memory file system, wiped at
 * the end, called like the document so that the editor knows its type. What an editor keeps beside
 * it (swap file, backup) is in that folder too.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_EDITOR_H
#define VMCRED_CLI_VMCRED_SOPS_EDITOR_H

#include "base/error.h"
#include "base/memory_directory.h"
#include "base/secret.h"

struct editor {
	struct memory_directory folder;
	char *name, *path; /* owned */
};

#define EDITOR_NONE                             \
	{                                       \
		.folder = MEMORY_DIRECTORY_NONE \
	}

#define _cleanup_editor_ __attribute__((cleanup(editor_close)))

/* Puts the text into a file that is called like `path`. */
int editor_open(struct editor *editor, const char *path, struct span text, struct error *err);
void editor_close(struct editor *editor);

/*
 * Runs $SOPS_EDITOR, $EDITOR, or the first of vim, nano and vi that there is, and reads the file
 * again. VMCRED_MISSING: no editor, or it failed. May be called again.
 */
int editor_run(const struct editor *editor, struct secret *text, struct error *err);

#endif
