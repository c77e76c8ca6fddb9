/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command line in a variable ($EDITOR, $SOPS_AGE_KEY_CMD) is split into words, never given to a
 * shell: white space separates, '…' quotes everything, "…" everything but a backslash, a backslash
 * the next character, and a '#' where a word would begin starts a comment. Nothing is expanded. So
 * does sops.
 */
#ifndef VMCRED_CLI_WORDS_H
#define VMCRED_CLI_WORDS_H

#include "base/error.h"

/*
 * The words in new memory, ended by NULL; the caller frees each and the list (words_free). `extra`
 * is appended unless it is NULL. `what` names the text in the error, which does not show it.
 */
int words_split(const char *text, const char *what, const char *extra, char ***words,
		struct error *err);
void words_free(char ***words);

#define _cleanup_words_ __attribute__((cleanup(words_free)))

#endif
