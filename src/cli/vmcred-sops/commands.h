/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmcred-sops: the commands, flags and exit codes of sops 3.13, one file for each command. A
 * command reads its arguments and flags, calls the library (sops/sops.h) and writes the result. An
 * output file is replaced whole or not at all; a new file with plaintext is readable by its owner
 * only. The command sets `exit_code` before each step that has an exit code of its own in sops.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_COMMANDS_H
#define VMCRED_CLI_VMCRED_SOPS_COMMANDS_H

#include "base/trusted/output.h"
#include "cli/cli.h"
#include "cli/foreground.h"
#include "cli/sops_keys.h"
#include "cli/vmcred-sops/creation_rules.h"
#include "cli/vmcred-sops/flags.h"
#include "sops/sops.h"

/* The exit codes of sops 3.13 (cmd/sops/codes in its sources), which scripts compare. */
enum sops_exit {
	SOPS_EXIT_GENERIC = 1,
	SOPS_EXIT_INPUT_UNREADABLE = 2,
	SOPS_EXIT_OUTPUT_UNWRITABLE = 3,
	SOPS_EXIT_NO_SUCH_TOPIC = 3,   /* from its help, for an unknown subcommand */
	SOPS_EXIT_TREE_UNWRITABLE = 4, /* the output format cannot represent the document */
	SOPS_EXIT_SET_FORMAT = 7,
	SOPS_EXIT_CONFLICT = 8,
	SOPS_EXIT_ENCRYPTION = 23,
	SOPS_EXIT_DECRYPTION = 25,
	SOPS_EXIT_KEYS_OF_NO_FILE = 49,
	SOPS_EXIT_MAC = 51,
	SOPS_EXIT_PATH_FORMAT = 91,
	SOPS_EXIT_NO_DOCUMENT = 92,
	SOPS_EXIT_NO_FILE = 100,
	SOPS_EXIT_ORDER_DUPLICATE = 112,
	SOPS_EXIT_NO_KEY = 128,
	SOPS_EXIT_UNCHANGED = 200,
	SOPS_EXIT_EDITOR = 201,
	SOPS_EXIT_ENCRYPTED_ALREADY = 203,
	SOPS_EXIT_SIGNALLED = 255, /* Go's code for a command that a signal killed */
};

/* The largest document, plain or encrypted. */
#define SOPS_FILE_SIZE_MAX ((size_t)2 * 1024 * 1024 * 1024)

/* One run of the program. */
struct invocation {
	struct cli *cli;
	struct flags flags; /* owned */
	char **arguments;   /* the others */
	int argument_count;
	struct sops_keys *keys;
	struct sops_creation_rules *rules; /* owned; NULL before rules_load(), or without any */
	bool rules_searched;
	enum sops_exit exit_code; /* if the current step fails */
};

/* `return fail(invocation, SOPS_EXIT_..., err, "...", ...)` */
#define fail(invocation, code, err, ...) \
	((invocation)->exit_code = (code), error_set((err), VMCRED_USAGE, __VA_ARGS__))

struct sops_command {
	const char *name, *second; /* "groups", "add"; the second is NULL for most */
	enum command_id id;
	int (*run)(struct invocation *invocation, struct error *err); /* NULL: not supported */
	const char *arguments, *about;
};

extern const struct sops_command sops_commands[]; /* ends with a row without a name */

int command_decrypt(struct invocation *invocation, struct error *err);
int command_encrypt(struct invocation *invocation, struct error *err);
int command_edit(struct invocation *invocation, struct error *err);
int command_rotate(struct invocation *invocation, struct error *err);
int command_updatekeys(struct invocation *invocation, struct error *err);
int command_set(struct invocation *invocation, struct error *err);
int command_unset(struct invocation *invocation, struct error *err);
int command_groups_add(struct invocation *invocation, struct error *err);
int command_groups_delete(struct invocation *invocation, struct error *err);
int command_filestatus(struct invocation *invocation, struct error *err);
int command_exec_env(struct invocation *invocation, struct error *err);
int command_exec_file(struct invocation *invocation, struct error *err);
int command_completion(struct invocation *invocation, struct error *err);
int command_legacy(struct invocation *invocation, struct error *err);

/* Prints what may follow these arguments, one a line: sops prints it for completion scripts.
 * `found`: the command that they name, or NULL. */
void candidates_print(const struct sops_command *found, int argc, char *const *argv);

/* Requires an argument and warns that only the first one is used. */
int file_argument_check(struct invocation *invocation, struct error *err);
void extra_arguments_warn(const struct invocation *invocation);

/*
 * The file that a command works on, and the stores that read and write it.
 */
struct sops_file {
	const char *path; /* NULL: standard input */
	const char *name; /* for errors */
	char *rule_path;  /* owned; absolute: --filename-override or the path */
	const struct sops_store *input, *output;
	struct sops_format format;
};

#define _cleanup_sops_file_ __attribute__((cleanup(sops_file_destroy)))

/*
 * Describes the file `path` (NULL: standard input): the stores by the flags, else by the name; the
 * layout by --indent and .sops.yaml.
 */
int sops_file_describe(struct invocation *invocation, const char *path, struct sops_file *file,
		       struct error *err);
void sops_file_destroy(struct sops_file *file);

/* Fails with exit code 100 if the file does not exist. */
int sops_file_require(struct invocation *invocation, const char *path, struct error *err);

/* Whether the file does not exist; false if stat(2) fails otherwise. */
bool sops_path_is_missing(const char *path);

/* Reads the whole file; exit code 2. */
int sops_file_read(struct invocation *invocation, const struct sops_file *file, struct secret *text,
		   struct error *err);

/* Reads the whole file as an encrypted document, without decrypting it. Uses `text` as buffer. */
int sops_file_parse(struct invocation *invocation, const struct sops_file *file,
		    struct secret *text, struct sops_document **document, struct error *err);

/* Reads the whole file as an encrypted document and decrypts it; exit codes 25, 51 and 128. The
 * caller destroys the document. */
int sops_file_open(struct invocation *invocation, const struct sops_file *file,
		   struct sops_document **document, struct error *err);

/* --in-place conflicts with --output; exit code 8. */
int sops_output_check(struct invocation *invocation, struct error *err);

/* Writes the document to the file itself, --output or standard output; exit codes 3 and 4. */
int sops_file_write(struct invocation *invocation, const struct sops_file *file,
		    struct sops_document *document, bool in_place, enum output_content content,
		    struct error *err);

/* The same for bytes. */
int sops_output_write(struct invocation *invocation, const struct sops_file *file, bool in_place,
		      enum output_content content, struct span text, struct error *err);

/* Re-encrypts the values and writes the document to its file. */
int sops_file_rewrite(struct invocation *invocation, const struct sops_file *file,
		      struct sops_document *document, struct error *err);

/*
 * Keys. Prepares `invocation->keys`, with --decryption-order; keys_load() then loads those for a
 * document (NULL: all).
 */
int keyring_prepare(struct invocation *invocation, struct error *err);
int keys_load(struct invocation *invocation, const struct sops_document *document,
	      struct error *err);

/* The keys of the flags --age, --pgp and so on, or of those that rotate adds and removes. */
enum key_flags {
	KEYS_GIVEN,
	KEYS_ADDED,
	KEYS_REMOVED,
};

/* Adds the keys; returns the number of keys in the group. */
int flag_keys_read(const struct invocation *invocation, enum key_flags which,
		   struct sops_key_group *group, struct error *err);

/* Loads --config or the nearest .sops.yaml into `invocation->rules`, once. Returns 1; 0 if there is
 * none. Another user's .sops.yaml (trusted_found_check()) must not choose recipients: it is an
 * error, but ignored `for_layout`. */
int rules_load(struct invocation *invocation, bool for_layout, struct error *err);

/* The recipients of a new document and the values to encrypt: by the flags, else by .sops.yaml.
 * Exit code 8: contradictory rules. */
int policy_choose(struct invocation *invocation, const struct sops_file *file,
		  struct sops_policy *policy, struct error *err);

/* Whether a document can be encrypted: not empty (exit code 92), not encrypted already (203). */
int encryption_check(struct invocation *invocation, const struct sops_file *file,
		     const struct sops_document *document, struct error *err);

/*
 * Whether a path has the form ["key"]['other'][0]; `code` is the exit code if not. As in sops,
 * checked before the file is opened. `what` is its name in the error.
 */
int tree_path_check(struct invocation *invocation, const char *path, enum sops_exit code,
		    const char *what, struct error *err);

/* Sets a JSON value in the file `name`; exit code 7. */
int value_set(struct invocation *invocation, const char *name, const char *path,
	      struct secret *value, struct error *err);

/*
 * One command for many files, each for itself: a file that fails is reported and does not stop the
 * others.
 */
struct batch_job {
	const char *path;
	struct sops_file file;     /* owned */
	struct sops_policy policy; /* owned */
	char *output;              /* owned; printed in the order of the files */
	bool unchanged;
	char *failure; /* owned; the error, or NULL */
};

struct batch {
	const char *done; /* such as "encrypted" */
	/* Called for one file after the other. */
	int (*prepare)(struct invocation *invocation, struct batch_job *job, struct error *err);
	/* Called from several threads, with a copy of the invocation for this job. */
	int (*work)(struct invocation *invocation, struct batch_job *job, struct error *err);
};

/*
 * Runs it for all arguments and prints a summary. VMCRED_FAILED: a file failed. Not `parallel`: one
 * after the other and without progress, which would disturb questions on the terminal.
 */
int batch_run(struct invocation *invocation, const struct batch *batch, bool parallel,
	      struct error *err);

/* The same for one file, without a summary; `path` may be NULL: standard input. The exit code is
 * that of the failed step. */
int batch_one(struct invocation *invocation, const struct batch *batch, const char *path,
	      struct error *err);

#endif
