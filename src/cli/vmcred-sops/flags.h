/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of sops, one table for all verbs and for the old form without a verb. They are read as
 * sops reads them: -flag and --flag are the same, a value stands behind '=' or in the next word, a
 * truth value only behind '='. Behind a verb, known flags are taken wherever they stand, up to
 * "--"; without one, up to the first other word.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_FLAGS_H
#define VMCRED_CLI_VMCRED_SOPS_FLAGS_H

#include <stdbool.h>

#include "base/error.h"

enum sops_verb_id {
	SOPS_OLD_FORM, /* no verb: -d, -e, -r, -s, --set, or a file to edit */
	SOPS_DECRYPT_VERB,
	SOPS_ENCRYPT_VERB,
	SOPS_EDIT_VERB,
	SOPS_ROTATE_VERB,
	SOPS_UPDATEKEYS_VERB,
	SOPS_SET_VERB,
	SOPS_UNSET_VERB,
	SOPS_GROUPS_ADD_VERB,
	SOPS_GROUPS_DELETE_VERB,
	SOPS_FILESTATUS_VERB,
	SOPS_EXEC_ENV_VERB,
	SOPS_EXEC_FILE_VERB,
	SOPS_COMPLETION_VERB,
	SOPS_UNSUPPORTED_VERB, /* takes any flag, does nothing */
};

enum sops_flag {
	SOPS_FLAG_DECRYPT,
	SOPS_FLAG_ENCRYPT,
	SOPS_FLAG_ROTATE,
	SOPS_FLAG_SET,
	SOPS_FLAG_IN_PLACE,
	SOPS_FLAG_OUTPUT,
	SOPS_FLAG_EXTRACT,
	SOPS_FLAG_INPUT_TYPE,
	SOPS_FLAG_OUTPUT_TYPE,
	SOPS_FLAG_FILENAME_OVERRIDE,
	SOPS_FLAG_IGNORE_MAC,
	SOPS_FLAG_DECRYPTION_ORDER,
	SOPS_FLAG_INDENT,
	SOPS_FLAG_CONFIG,
	SOPS_FLAG_AGE,
	SOPS_FLAG_PGP,
	SOPS_FLAG_KMS,
	SOPS_FLAG_AWS_PROFILE,
	SOPS_FLAG_ENCRYPTION_CONTEXT,
	SOPS_FLAG_GCP_KMS,
	SOPS_FLAG_HCKMS,
	SOPS_FLAG_AZURE_KV,
	SOPS_FLAG_HC_VAULT_TRANSIT,
	SOPS_FLAG_ADD_AGE,
	SOPS_FLAG_ADD_PGP,
	SOPS_FLAG_ADD_KMS,
	SOPS_FLAG_ADD_GCP_KMS,
	SOPS_FLAG_ADD_HCKMS,
	SOPS_FLAG_ADD_AZURE_KV,
	SOPS_FLAG_ADD_HC_VAULT_TRANSIT,
	SOPS_FLAG_RM_AGE,
	SOPS_FLAG_RM_PGP,
	SOPS_FLAG_RM_KMS,
	SOPS_FLAG_RM_GCP_KMS,
	SOPS_FLAG_RM_HCKMS,
	SOPS_FLAG_RM_AZURE_KV,
	SOPS_FLAG_RM_HC_VAULT_TRANSIT,
	SOPS_FLAG_UNENCRYPTED_SUFFIX,
	SOPS_FLAG_ENCRYPTED_SUFFIX,
	SOPS_FLAG_UNENCRYPTED_REGEX,
	SOPS_FLAG_ENCRYPTED_REGEX,
	SOPS_FLAG_UNENCRYPTED_COMMENT_REGEX,
	SOPS_FLAG_ENCRYPTED_COMMENT_REGEX,
	SOPS_FLAG_MAC_ONLY_ENCRYPTED,
	SOPS_FLAG_SHAMIR_THRESHOLD,
	SOPS_FLAG_SHOW_MASTER_KEYS,
	SOPS_FLAG_VALUE_FILE,
	SOPS_FLAG_VALUE_STDIN,
	SOPS_FLAG_IDEMPOTENT,
	SOPS_FLAG_YES,
	SOPS_FLAG_FILE,
	SOPS_FLAG_PRISTINE,
	SOPS_FLAG_USER,
	SOPS_FLAG_SAME_PROCESS,
	SOPS_FLAG_BACKGROUND,
	SOPS_FLAG_NO_FIFO,
	SOPS_FLAG_FILENAME,
	SOPS_FLAG_LOCAL_KEYSERVICE,
	SOPS_FLAG_KEYSERVICE,
	SOPS_FLAG_VERBOSE,
	SOPS_FLAG_NO_VERSION_CHECK,
	SOPS_FLAG_VERSION_CHECK,
	SOPS_FLAG_VERSION,
	SOPS_FLAG_HELP,
	SOPS_FLAG_COUNT
};

/* What was given, by flag. Starts as {0}. */
struct sops_arguments {
	char *values[SOPS_FLAG_COUNT]; /* owned; NULL: not given; truth values as "true", "false" */
};

void sops_arguments_destroy(struct sops_arguments *flags);

#define _cleanup_sops_arguments_ __attribute__((cleanup(sops_arguments_destroy)))

/*
 * Takes the flags of a verb out of `argc` words behind it. The other words move to the front of
 * `argv`; returns their number. VMCRED_USAGE: a flag that is not known, a value that is missing or
 * none.
 */
int sops_arguments_parse(enum sops_verb_id verb, int argc, char **argv,
			 struct sops_arguments *flags, struct error *err);

/* Takes the environment's variables for flags of the verb that are not given. */
int sops_arguments_environment(enum sops_verb_id verb, struct sops_arguments *flags,
			       struct error *err);

/* The value, NULL where the flag is not given or given as empty: sops does not tell these apart. */
const char *sops_flag_text(const struct sops_arguments *flags, enum sops_flag flag);
bool sops_flag_is_on(const struct sops_arguments *flags, enum sops_flag flag);

/* A number that was checked when it was parsed; `missing` where the flag is not given. */
long sops_flag_number(const struct sops_arguments *flags, enum sops_flag flag, long missing);

/* The flag's name without dashes. */
const char *sops_flag_name(enum sops_flag flag);

/* Prints a line for each flag of the verb to stdout. */
void sops_arguments_help(enum sops_verb_id verb);

#endif
