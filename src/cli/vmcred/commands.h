/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmcred: the store, activation, serving and inspection. One file for each command, and what the
 * commands share: the choice of the identity file, answers to prompts, re-encryption, manifests,
 * output.
 */
#ifndef VMCRED_CLI_VMCRED_COMMANDS_H
#define VMCRED_CLI_VMCRED_COMMANDS_H

#include <jansson.h>

#include "activate/record/record.h"
#include "age/age.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "config/config.h"
#include "vars/vars.h"

struct activate_options;
struct activate_result;

int command_age(struct cli *cli, int argc, char **argv, struct error *err);
int command_age_keygen(struct cli *cli, int argc, char **argv, struct error *err);
int command_activate(struct cli *cli, int argc, char **argv, struct error *err);
int command_check(struct cli *cli, int argc, char **argv, struct error *err);
int command_edit(struct cli *cli, int argc, char **argv, struct error *err);
int command_export(struct cli *cli, int argc, char **argv, struct error *err);
int command_doctor(struct cli *cli, int argc, char **argv, struct error *err);
int command_fix(struct cli *cli, int argc, char **argv, struct error *err);
int command_generate(struct cli *cli, int argc, char **argv, struct error *err);
int command_get(struct cli *cli, int argc, char **argv, struct error *err);
int command_graph(struct cli *cli, int argc, char **argv, struct error *err);
int command_group(struct cli *cli, int argc, char **argv, struct error *err);
int command_import(struct cli *cli, int argc, char **argv, struct error *err);
int command_init(struct cli *cli, int argc, char **argv, struct error *err);
int command_inspect(struct cli *cli, int argc, char **argv, struct error *err);
int command_install_secrets(struct cli *cli, int argc, char **argv, struct error *err);
int command_keygen(struct cli *cli, int argc, char **argv, struct error *err);
int command_list(struct cli *cli, int argc, char **argv, struct error *err);
int command_machine(struct cli *cli, int argc, char **argv, struct error *err);
int command_serve(struct cli *cli, int argc, char **argv, struct error *err);
int command_metrics(struct cli *cli, int argc, char **argv, struct error *err);
int command_prune(struct cli *cli, int argc, char **argv, struct error *err);
int command_readers(struct cli *cli, int argc, char **argv, struct error *err);
int command_set(struct cli *cli, int argc, char **argv, struct error *err);
int command_status(struct cli *cli, int argc, char **argv, struct error *err);
int command_user(struct cli *cli, int argc, char **argv, struct error *err);

/*
 * Identities: a machine's, in our place or that of sops-nix and clan, or a person's, in that of
 * sops and clan.
 */
#define CLI_IDENTITY_PATH          "/var/lib/vmcred/identity"
#define CLI_IDENTITY_PATH_SOPS_NIX "/var/lib/sops-nix/key.txt"

#define CLI_MACHINE_IDENTITY_HELP                                            \
	"age identity file (default: $SOPS_AGE_KEY_FILE, " CLI_IDENTITY_PATH \
	", " CLI_IDENTITY_PATH_SOPS_NIX ", /etc/ssh/ssh_host_ed25519_key)"
#define CLI_IDENTITY_HELP                                                    \
	"age identity file (default: $SOPS_AGE_KEY_FILE, " CLI_IDENTITY_PATH \
	", " CLI_IDENTITY_PATH_SOPS_NIX                                      \
	", ~/.config/sops/age/keys.txt, ~/.ssh/id_ed25519, /etc/ssh/ssh_host_ed25519_key)"

/* `given`, or the first readable default of a machine. If there is none, warns and returns the
 * first: it may be installed later. */
const char *cli_machine_identity_path(const char *given, const struct report *report);

/* A person's identity file. Returns 1, or 0 with the path of a new one; the caller frees it. */
int cli_person_identity_find(char **path, struct error *err);

/* The path of `given`, $SOPS_AGE_KEY_FILE or the first readable default. The caller frees it.
 * VMCRED_MISSING: there is none; the error lists the places. */
int cli_identity_find(const char *given, char **path, struct error *err);

/* Loads an identity file from standard input. */
int cli_identities_read(struct age_identities *identities, struct error *err);

/* Loads `given`, or the first readable default. SSH keys open what ssh-to-age encrypted, too. */
int cli_identities_load(const char *given, const struct report *report,
			struct age_identities *identities, struct error *err);

/* The same when the identities are first needed. Starts with `path`: --identity, or NULL. */
struct cli_identity {
	const char *path;
	const struct report *report;
	struct age_identities identities; /* the caller destroys them */
};

/* A vars_identities_fn whose `data` is a struct cli_identity. */
int cli_identity_get(const struct age_identities **identities, void *data, struct error *err);

/* vars_writer_find() with that identity. */
int cli_writer_find(const struct config *config, int store_dirfd, const char *given,
		    const struct report *report, char **writer, struct error *err);

/*
 * New files with keys. Missing directories are created, and nothing is overwritten. The file and
 * its name are synced before the key is used: a lost identity cannot be recovered. `*dirfd` is a
 * descriptor of its directory, which the caller closes, or negative: if the path changes meanwhile,
 * cli_new_file_remove() removes no other file. An identity is refused in a git work tree, unless
 * git ignores it.
 */
int cli_new_file_write(const char *path, bool is_identity, struct span text, int *dirfd,
		       struct error *err);
void cli_new_file_remove(const char *path, int dirfd);

/* Adds public keys of --age-key: each is a key, or a file of them. VMCRED_USAGE: neither. */
int cli_public_keys_add(const struct cli_texts *given, const struct report *report,
			struct sops_key_group *keys, struct error *err);

/*
 * Answers to the prompts of generators: from files named with --prompt, else from the terminal.
 */
#define CLI_PROMPT_HELP "answer to a prompt (@-: stdin); also GENERATOR/NAME=@FILE"

/* Starts as {0}. */
struct cli_answers {
	struct cli_texts given;                /* [GENERATOR/]NAME=@FILE: the option */
	struct secret contents[CLI_TEXTS_MAX]; /* owned; of the files that were read */
	bool is_read[CLI_TEXTS_MAX];
};

/* Checks that each option names a file and a declared prompt, no prompt twice, and stdin at most
 * once. */
int cli_answers_check(const struct cli_answers *answers, const struct config *config,
		      struct error *err);

/* Whether an option answers the prompt. */
bool cli_is_answered(const struct cli_answers *answers, const struct config_generator *generator,
		     const struct config_prompt *prompt);

/*
 * Adds the answer. An option with the generator's name wins over one without. A file is read once
 * for all prompts that it answers: it may be a pipe. A final line break is not part of a one-line
 * answer.
 */
int cli_answer(struct cli_answers *answers, const struct config_generator *generator,
	       const struct config_prompt *prompt, struct secret *answer, struct error *err);

void cli_answers_destroy(struct cli_answers *answers);

/* A change of the store that ends with encrypting secrets to their recipients. Starts as {0}. */
struct cli_change {
	char *const *machines; /* encrypt only their secrets; NULL: all */
	const struct vars_member_change *members;
	size_t member_count;
	struct strings added, removed; /* owned; paths to add, and to remove first, */
	struct strings removed_last;   /* owned; and when all secrets are encrypted */
	bool bind;                     /* as in vars_fix_options */
	bool paths_only;               /* encrypt nothing */
	bool dry_run;                  /* print all of it, change nothing */
	bool confirm;                  /* ask at the terminal before anything is changed */
	const char *identity;          /* --identity, or NULL; read when it is first needed */

	/* Adds what `added` names, unless it is a dry run; may be NULL. `linked` as in
	 * vars_fix_options. */
	int (*commit)(size_t linked, void *data, struct error *err);
	void *data;
};

void cli_change_destroy(struct cli_change *change);
#define _cleanup_cli_change_ __attribute__((cleanup(cli_change_destroy)))

#define CLI_DRY_RUN_HELP "only print what would be changed"

/*
 * Checks, prints and makes a change: a line, or with --json an object, for each path and each
 * secret. `nothing` is printed if nothing changes; may be NULL. A secret that fails is a warning
 * and does not stop the others; the error covers all of them.
 */
int cli_change_make(struct cli *cli, const struct config *config, int store_dirfd,
		    const struct cli_change *change, const char *nothing, struct error *err);

/* The error for a secret that is not declared, with a similar name. */
int cli_secret_undeclared(const struct config *config, const char *name, struct error *err);

/*
 * Finds the declared file GENERATOR/FILE of a machine. VMCRED_USAGE: it is not declared, or not for
 * that machine.
 */
int cli_location_find(const struct config *config, const char *machine, const char *name,
		      struct vars_location *location, struct error *err);

/* Stores a value as vars_set() does; warns of generators that depend on the old one. The caller
 * holds the lock. */
int cli_value_store(const struct cli *cli, const struct config *config, int store_dirfd,
		    const struct vars_location *location, struct cli_identity *identity,
		    struct span value, struct error *err);

/* The error for an empty value without --allow-empty. */
int cli_value_empty(struct error *err);

/*
 * Activates, as activate_machine(), and prints the result. With `restart`, restarts the units that
 * use old values, and waits. With --json, the result is added to `list`, if that is not NULL.
 */
int cli_activate(struct cli *cli, const struct config *config, int store_dirfd,
		 const struct age_identities *identities, const struct activate_options *options,
		 bool restart, json_t *list, struct error *err);

/* Installing a manifest of sops-nix: `vmcred activate MANIFEST` and sops-install-secrets. */
struct cli_manifest {
	const char *path;
	const char *check_mode; /* the option's argument; NULL: "off" */
	bool ignore_passwd;
};

/*
 * Hardens the process, and installs the manifest or only checks it (then `*installed` is false).
 * $NIXOS_ACTION and $SOPS_RESTART_UNITS_VIA_SYSTEMCTL have the same effect as for
 * sops-install-secrets. Prints the changes if the manifest logs them. The caller releases the
 * result.
 */
int cli_manifest_install(struct cli *cli, const struct cli_manifest *call, bool *installed,
			 struct activate_result *result, struct error *err);

/* Prints what was changed, or with `dry` would be. */
void cli_changes_print(const struct activate_result *result, bool dry);

/* Runs systemctl; nothing if there are no units. `units`: NULL for a verb without units. `waits`:
 * until systemd has done it. */
int cli_systemctl(const char *verb, bool waits, const struct strings *units, struct error *err);

/*
 * Units that are pending (activate/record/record.h), of the phase of the record.
 */

/* Removes units that need nothing more from the record, and unless `dry` from the one on disk.
 * Where systemd cannot be asked, all stay. */
int cli_pending_look(struct activation_record *record, bool dry, struct error *err);

/* What cli_pending_restart() did. Starts as {0}. */
struct cli_restarted {
	struct strings restarted, reloaded;
	struct strings failed;
};

#define _cleanup_cli_restarted_ __attribute__((cleanup(cli_restarted_release)))

/*
 * Restarts and reloads the units, and updates the record on disk. `record` becomes that record.
 * With `waits`, what failed stays pending. Otherwise restarts are only requested: a unit is pending
 * until a later call finds that it was restarted, and systemd's success for a reload is enough.
 */
int cli_pending_restart(struct activation_record *record, bool waits, struct cli_restarted *result,
			struct error *err);

void cli_restarted_release(struct cli_restarted *result);

/* For `age --version` and `age-keygen --version`. */
void cli_age_version_print(void);

/*
 * Output. cli_main() reports that stdout could not be written.
 */

/* "MACHINE GENERATOR/FILE" or "shared GENERATOR/FILE". The caller frees it; NULL without memory. */
char *cli_location_text(const struct vars_location *location);
void cli_location_print(const struct vars_location *location);

/* Seconds since 1970: local time for people, UTC for programs. "-" or NULL: never. */
#define CLI_TIME_SIZE sizeof("2006-01-02T15:04:05Z")
const char *cli_time_text(int64_t realtime, bool is_utc, char text[CLI_TIME_SIZE]);

/* How long ago that was, such as "2 days". The caller frees it; NULL without memory. */
char *cli_age_text(int64_t realtime);

/* The name of a fault in JSON and metrics. */
const char *cli_fault_name(enum vars_fault fault);

/* What is wrong with a file, for people, and the command that fixes it. The caller frees the line;
 * NULL without memory. */
char *cli_fault_line(const struct vars_location *location, enum vars_fault fault,
		     const char *detail);
const char *cli_fault_command(enum vars_fault fault);

/* A detail for people. A long list of recipients that repeats `*last` refers to it; `*last`, NULL
 * at first, becomes this one. The caller frees both; NULL without memory. */
char *cli_detail_text(const char *detail, char **last);

/* Prints a value to stdout, indented, with a final newline. */
void cli_json_print(const json_t *value);

/* A new array of a NULL-terminated list, which may be NULL. */
json_t *cli_json_texts(char *const *texts);

#endif
