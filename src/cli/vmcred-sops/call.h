/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of `vmcred sops`: what the verbs share. A verb reads its words and flags, calls the
 * library, and writes; it sets `exit_code` before each step whose failure sops tells by a code of
 * its own.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_CALL_H
#define VMCRED_CLI_VMCRED_SOPS_CALL_H

#include "cli/cli.h"
#include "cli/sops_keys.h"
#include "cli/vmcred-sops/creation_rules.h"
#include "cli/vmcred-sops/exit_codes.h"
#include "cli/vmcred-sops/flags.h"
#include "sops/sops.h"

/* A document, plain or encrypted. What fits into memory four times over is welcome. */
#define SOPS_FILE_SIZE_MAX ((size_t)2 * 1024 * 1024 * 1024)

struct sops_call {
	struct cli *cli;
	struct sops_arguments arguments;
	char **words; /* what is no flag */
	int word_count;
	struct sops_keys *keys;
	struct sops_creation_rules *rules; /* owned; NULL until they are needed, or if there are
					      none */
	bool rules_sought;
	enum sops_exit exit_code; /* for the failure of the step that is being done */
};

/* Fails with one of sops's exit codes: `return sops_fail(call, SOPS_EXIT_…, err, "…", …)`. */
#define sops_fail(call, code, err, ...) \
	((call)->exit_code = (code), error_set((err), VMCRED_USAGE, __VA_ARGS__))

/* The whole program. */
int command_sops(struct cli *cli, int argc, char **argv, struct error *err);

/* Each verb; `call->words` are those behind it. */
int verb_decrypt(struct sops_call *call, struct error *err);
int verb_encrypt(struct sops_call *call, struct error *err);
int verb_edit(struct sops_call *call, struct error *err);
int verb_rotate(struct sops_call *call, struct error *err);
int verb_updatekeys(struct sops_call *call, struct error *err);
int verb_set(struct sops_call *call, struct error *err);
int verb_unset(struct sops_call *call, struct error *err);
int verb_groups_add(struct sops_call *call, struct error *err);
int verb_groups_delete(struct sops_call *call, struct error *err);
int verb_filestatus(struct sops_call *call, struct error *err);
int verb_exec_env(struct sops_call *call, struct error *err);
int verb_exec_file(struct sops_call *call, struct error *err);
int verb_completion(struct sops_call *call, struct error *err);
int verb_old_form(struct sops_call *call, struct error *err);

/* Prepares `call->keys` (sops_keyring_prepare()), with --decryption-order. */
int sops_call_keyring_prepare(struct sops_call *call, struct error *err);

/* Likewise, then sops_keys_load(). */
int sops_call_keys_load(struct sops_call *call, const struct sops_document *document,
			struct error *err);

/*
 * Runs a program from $PATH with our standard streams and environment to its end; `*status` is that
 * of waitpid(2). Meanwhile this process survives the terminal's signals, which the program gets as
 * well, and passes on SIGTERM and SIGHUP.
 */
int foreground_run(char *const *argv, int *status, struct error *err);

/* Prints a text to stderr and waits for a line on stdin. Returns 1; 0 at its end or after a signal
 * that asks to give up. */
int foreground_line_wait(const char *text);

/* Warns that only the first word is used, where there are more. */
void sops_words_warn(const struct sops_call *call);

#endif
