/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vmcred-sops/flag_table.h"

#include <stddef.h>

#define OLD           (1U << SOPS_OLD_FORM)
#define DECRYPT       (1U << SOPS_DECRYPT_VERB)
#define ENCRYPT       (1U << SOPS_ENCRYPT_VERB)
#define EDIT          (1U << SOPS_EDIT_VERB)
#define ROTATE        (1U << SOPS_ROTATE_VERB)
#define UPDATEKEYS    (1U << SOPS_UPDATEKEYS_VERB)
#define SET           (1U << SOPS_SET_VERB)
#define UNSET         (1U << SOPS_UNSET_VERB)
#define GROUPS_ADD    (1U << SOPS_GROUPS_ADD_VERB)
#define GROUPS_DELETE (1U << SOPS_GROUPS_DELETE_VERB)
#define FILESTATUS    (1U << SOPS_FILESTATUS_VERB)
#define EXEC_ENV      (1U << SOPS_EXEC_ENV_VERB)
#define EXEC_FILE     (1U << SOPS_EXEC_FILE_VERB)
#define COMPLETION    (1U << SOPS_COMPLETION_VERB)
#define GROUPS        (GROUPS_ADD | GROUPS_DELETE)
#define EXEC          (EXEC_ENV | EXEC_FILE)
#define NEW_FILES     (OLD | ENCRYPT | EDIT)
#define ON_ONE_FILE   (OLD | DECRYPT | ENCRYPT | EDIT | ROTATE | SET | UNSET)
#define WRITERS       (OLD | DECRYPT | ENCRYPT | ROTATE)
#define WITH_DATA_KEY (ON_ONE_FILE | UPDATEKEYS | GROUPS | EXEC)
#define EVERYTHING    (WITH_DATA_KEY | FILESTATUS | COMPLETION)

#define TYPES "json, yaml, dotenv, ini or binary; else the name's ending decides"

#define ROW(name, letter, kind, verbs, variable, argument, help)      \
	{                                                             \
		{name, letter}, kind, verbs, variable, argument, help \
	}
#define TRUTH(name, letter, verbs, variable, help) \
	ROW(name, letter, SOPS_FLAG_TRUTH, verbs, variable, NULL, help)
#define TEXT(name, letter, verbs, variable, argument, help) \
	ROW(name, letter, SOPS_FLAG_TEXT, verbs, variable, argument, help)
#define LIST(name, letter, verbs, variable, argument, help) \
	ROW(name, letter, SOPS_FLAG_LIST, verbs, variable, argument, help)
#define NUMBER(name, letter, verbs, argument, help) \
	ROW(name, letter, SOPS_FLAG_WHOLE_NUMBER, verbs, NULL, argument, help)

/* sops 3.13, cmd/sops/main.go: which verb takes which flag. Those that it takes in front of a verb
 * only (config, indent, mac-only-encrypted, verbose) are taken behind it as well. */
const struct sops_flag_row sops_flag_table[SOPS_FLAG_COUNT] = {
	[SOPS_FLAG_DECRYPT] = TRUTH("decrypt", "d", OLD, NULL, "decrypt FILE"),
	[SOPS_FLAG_ENCRYPT] = TRUTH("encrypt", "e", OLD, NULL, "encrypt FILE"),
	[SOPS_FLAG_ROTATE] = TRUTH("rotate", "r", OLD, NULL, "encrypt FILE with a new data key"),
	[SOPS_FLAG_SET] = TEXT("set", NULL, OLD, NULL, "'[\"KEY\"] JSON'", "set one value in FILE"),
	[SOPS_FLAG_IN_PLACE] = TRUTH("in-place", "i", WRITERS | GROUPS, NULL,
				     "replace the file instead of printing"),
	[SOPS_FLAG_OUTPUT] =
		TEXT("output", NULL, WRITERS, NULL, "FILE", "write there instead of printing"),
	[SOPS_FLAG_EXTRACT] = TEXT("extract", NULL, OLD | DECRYPT, NULL, "'[\"KEY\"][0]'",
				   "print that part of the document only"),
	[SOPS_FLAG_INPUT_TYPE] =
		TEXT("input-type", NULL, ON_ONE_FILE | UPDATEKEYS | FILESTATUS | EXEC_FILE, NULL,
		     "TYPE", TYPES),
	[SOPS_FLAG_OUTPUT_TYPE] =
		TEXT("output-type", NULL, ON_ONE_FILE | EXEC_FILE, NULL, "TYPE", TYPES),
	[SOPS_FLAG_FILENAME_OVERRIDE] = TEXT("filename-override", NULL, WRITERS, NULL, "NAME",
					     "take types and creation rule as for this name"),
	[SOPS_FLAG_IGNORE_MAC] = TRUTH("ignore-mac", NULL, OLD | DECRYPT | EDIT | SET | UNSET, NULL,
				       "do not check the document's MAC"),
	[SOPS_FLAG_DECRYPTION_ORDER] =
		TEXT("decryption-order", NULL, OLD | DECRYPT | ROTATE | EDIT | SET | UNSET | EXEC,
		     "SOPS_DECRYPTION_ORDER", "TYPES", "which keys are tried first: age,pgp"),
	[SOPS_FLAG_INDENT] = NUMBER("indent", NULL, ON_ONE_FILE | GROUPS | EXEC_FILE, "N",
				    "spaces for a level of YAML or JSON"),
	[SOPS_FLAG_CONFIG] = TEXT("config", NULL, WITH_DATA_KEY | FILESTATUS, "SOPS_CONFIG", "FILE",
				  "instead of the nearest .sops.yaml"),
	[SOPS_FLAG_AGE] = LIST("age", "a", NEW_FILES | GROUPS_ADD, "SOPS_AGE_RECIPIENTS",
			       "RECIPIENTS", "age public keys, with commas"),
	[SOPS_FLAG_PGP] = LIST("pgp", "p", NEW_FILES | GROUPS_ADD, "SOPS_PGP_FP", "FINGERPRINTS",
			       "PGP keys, with commas"),
	[SOPS_FLAG_KMS] =
		LIST("kms", "k", NEW_FILES | GROUPS_ADD, "SOPS_KMS_ARN", "ARNS", "not supported"),
	[SOPS_FLAG_AWS_PROFILE] =
		TEXT("aws-profile", NULL, NEW_FILES | GROUPS_ADD, NULL, "NAME", "not supported"),
	[SOPS_FLAG_ENCRYPTION_CONTEXT] =
		TEXT("encryption-context", NULL, NEW_FILES | ROTATE | GROUPS_ADD, NULL, "PAIRS",
		     "not supported"),
	[SOPS_FLAG_GCP_KMS] = LIST("gcp-kms", NULL, NEW_FILES | GROUPS_ADD, "SOPS_GCP_KMS_IDS",
				   "IDS", "not supported"),
	[SOPS_FLAG_HCKMS] = LIST("hckms", NULL, NEW_FILES | GROUPS_ADD, "SOPS_HUAWEICLOUD_KMS_IDS",
				 "IDS", "not supported"),
	[SOPS_FLAG_AZURE_KV] = LIST("azure-kv", NULL, NEW_FILES | GROUPS_ADD,
				    "SOPS_AZURE_KEYVAULT_URLS", "URLS", "not supported"),
	[SOPS_FLAG_HC_VAULT_TRANSIT] = LIST("hc-vault-transit", NULL, NEW_FILES | GROUPS_ADD,
					    "SOPS_VAULT_URIS", "URIS", "not supported"),
	[SOPS_FLAG_ADD_AGE] = LIST("add-age", NULL, OLD | ROTATE, NULL, "RECIPIENTS",
				   "encrypt to these age keys too"),
	[SOPS_FLAG_ADD_PGP] = LIST("add-pgp", NULL, OLD | ROTATE, NULL, "FINGERPRINTS",
				   "encrypt to these PGP keys too"),
	[SOPS_FLAG_ADD_KMS] = LIST("add-kms", NULL, OLD | ROTATE, NULL, "ARNS", "not supported"),
	[SOPS_FLAG_ADD_GCP_KMS] =
		LIST("add-gcp-kms", NULL, OLD | ROTATE, NULL, "IDS", "not supported"),
	[SOPS_FLAG_ADD_HCKMS] = LIST("add-hckms", NULL, OLD | ROTATE, NULL, "IDS", "not supported"),
	[SOPS_FLAG_ADD_AZURE_KV] =
		LIST("add-azure-kv", NULL, OLD | ROTATE, NULL, "URLS", "not supported"),
	[SOPS_FLAG_ADD_HC_VAULT_TRANSIT] =
		LIST("add-hc-vault-transit", NULL, OLD | ROTATE, NULL, "URIS", "not supported"),
	[SOPS_FLAG_RM_AGE] = LIST("rm-age", NULL, OLD | ROTATE, NULL, "RECIPIENTS",
				  "no longer encrypt to these age keys"),
	[SOPS_FLAG_RM_PGP] = LIST("rm-pgp", NULL, OLD | ROTATE, NULL, "FINGERPRINTS",
				  "no longer encrypt to these PGP keys"),
	[SOPS_FLAG_RM_KMS] = LIST("rm-kms", NULL, OLD | ROTATE, NULL, "ARNS", "remove these keys"),
	[SOPS_FLAG_RM_GCP_KMS] =
		LIST("rm-gcp-kms", NULL, OLD | ROTATE, NULL, "IDS", "remove these keys"),
	[SOPS_FLAG_RM_HCKMS] =
		LIST("rm-hckms", NULL, OLD | ROTATE, NULL, "IDS", "remove these keys"),
	[SOPS_FLAG_RM_AZURE_KV] =
		LIST("rm-azure-kv", NULL, OLD | ROTATE, NULL, "URLS", "remove these keys"),
	[SOPS_FLAG_RM_HC_VAULT_TRANSIT] =
		LIST("rm-hc-vault-transit", NULL, OLD | ROTATE, NULL, "URIS", "remove these keys"),
	[SOPS_FLAG_UNENCRYPTED_SUFFIX] = TEXT("unencrypted-suffix", NULL, NEW_FILES, NULL, "TEXT",
					      "leave keys that end so as they are"),
	[SOPS_FLAG_ENCRYPTED_SUFFIX] = TEXT("encrypted-suffix", NULL, NEW_FILES, NULL, "TEXT",
					    "encrypt only keys that end so"),
	[SOPS_FLAG_UNENCRYPTED_REGEX] = TEXT("unencrypted-regex", NULL, NEW_FILES, NULL, "REGEX",
					     "leave keys that match as they are"),
	[SOPS_FLAG_ENCRYPTED_REGEX] = TEXT("encrypted-regex", NULL, NEW_FILES, NULL, "REGEX",
					   "encrypt only keys that match"),
	[SOPS_FLAG_UNENCRYPTED_COMMENT_REGEX] =
		TEXT("unencrypted-comment-regex", NULL, NEW_FILES, NULL, "REGEX",
		     "leave what has such a comment as it is"),
	[SOPS_FLAG_ENCRYPTED_COMMENT_REGEX] = TEXT("encrypted-comment-regex", NULL, NEW_FILES, NULL,
						   "REGEX", "encrypt only what has such a comment"),
	[SOPS_FLAG_MAC_ONLY_ENCRYPTED] = TRUTH("mac-only-encrypted", NULL, NEW_FILES, NULL,
					       "a MAC over the encrypted values only"),
	[SOPS_FLAG_SHAMIR_THRESHOLD] =
		NUMBER("shamir-secret-sharing-threshold", NULL, NEW_FILES | SET | UNSET | GROUPS,
		       "N", "key groups that it takes to open the file"),
	[SOPS_FLAG_SHOW_MASTER_KEYS] =
		TRUTH("show-master-keys", "s", OLD | EDIT, NULL, "show the metadata in the editor"),
	[SOPS_FLAG_VALUE_FILE] =
		TRUTH("value-file", NULL, SET, NULL, "VALUE names a file with the JSON value"),
	[SOPS_FLAG_VALUE_STDIN] =
		TRUTH("value-stdin", NULL, SET, NULL, "read the JSON value from standard input"),
	[SOPS_FLAG_IDEMPOTENT] =
		TRUTH("idempotent", NULL, SET | UNSET, NULL, "leave a file that is so already"),
	[SOPS_FLAG_YES] = TRUTH("yes", "y", UPDATEKEYS, NULL, "do not ask"),
	[SOPS_FLAG_FILE] = TEXT("file", "f", GROUPS, NULL, "FILE", "the document"),
	[SOPS_FLAG_PRISTINE] =
		TRUTH("pristine", NULL, EXEC_ENV, NULL, "pass nothing else of the environment"),
	[SOPS_FLAG_USER] = TEXT("user", NULL, EXEC, NULL, "NAME", "run the command as this user"),
	[SOPS_FLAG_SAME_PROCESS] = TRUTH("same-process", NULL, EXEC_ENV, NULL,
					 "become the command instead of starting it"),
	[SOPS_FLAG_BACKGROUND] =
		TRUTH("background", NULL, EXEC, NULL, "do not wait for the command (deprecated)"),
	[SOPS_FLAG_NO_FIFO] = TRUTH("no-fifo", NULL, EXEC_FILE, NULL,
				    "a file on a memory file system instead of a FIFO"),
	[SOPS_FLAG_FILENAME] =
		TEXT("filename", NULL, EXEC_FILE, NULL, "NAME", "what the file is called"),
	[SOPS_FLAG_LOCAL_KEYSERVICE] =
		TRUTH("enable-local-keyservice", NULL, WITH_DATA_KEY,
		      "SOPS_ENABLE_LOCAL_KEYSERVICE", "use the keys of this machine (default)"),
	[SOPS_FLAG_KEYSERVICE] =
		LIST("keyservice", NULL, WITH_DATA_KEY, "SOPS_KEYSERVICE", "URI", "not supported"),
	[SOPS_FLAG_VERBOSE] = TRUTH("verbose", NULL, EVERYTHING, NULL, "say what is done"),
	[SOPS_FLAG_NO_VERSION_CHECK] =
		TRUTH("disable-version-check", NULL, OLD, "SOPS_DISABLE_VERSION_CHECK",
		      "nothing: there is no such check"),
	[SOPS_FLAG_VERSION_CHECK] =
		TRUTH("check-for-updates", NULL, OLD, NULL, "nothing: there is no such check"),
	[SOPS_FLAG_VERSION] = TRUTH("version", "v", OLD, NULL, "print the version"),
	[SOPS_FLAG_HELP] = TRUTH("help", "h", EVERYTHING, NULL, "print this text"),
};
