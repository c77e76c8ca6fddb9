/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of sops 3.13 (cmd/sops/main.go), one row each: flags.h makes an enum of them, flags.c a
 * table. Flags that sops accepts only before the command (config, indent, mac-only-encrypted,
 * verbose) are accepted after it as well.
 *
 * FLAG(identifier, name, letter, type, commands, variable, argument, help)
 */
#define ONE_FILE      (LEGACY | DECRYPT | ENCRYPT | EDIT | ROTATE | SET | UNSET)
#define NEW_FILES     (LEGACY | ENCRYPT | EDIT)
#define WRITERS       (LEGACY | DECRYPT | ENCRYPT | ROTATE)
#define GROUPS        (GROUPS_ADD | GROUPS_DELETE)
#define EXEC          (EXEC_ENV | EXEC_FILE)
#define WITH_DATA_KEY (ONE_FILE | UPDATEKEYS | GROUPS | EXEC)
#define ALL_COMMANDS  (WITH_DATA_KEY | FILESTATUS | COMPLETION)

#define TYPES       "json, yaml, dotenv, ini or binary (default: from the file name)"
#define UNSUPPORTED "not supported"

/* The keys of a new document or group, and those that rotate adds and removes. */
#define KEYS(id, name, letter, variable, argument, about, about_add, about_rm)              \
	FLAG(id, name, letter, LIST, NEW_FILES | GROUPS_ADD, variable, argument, about)     \
	FLAG(ADD_##id, "add-" name, NULL, LIST, LEGACY | ROTATE, NULL, argument, about_add) \
	FLAG(RM_##id, "rm-" name, NULL, LIST, LEGACY | ROTATE, NULL, argument, about_rm)
#define KEYS_UNSUPPORTED(id, name, letter, variable, argument) \
	KEYS(id, name, letter, variable, argument, UNSUPPORTED, UNSUPPORTED, "keys to remove")

FLAG(DECRYPT, "decrypt", "d", TRUTH, LEGACY, NULL, NULL, "decrypt FILE")
FLAG(ENCRYPT, "encrypt", "e", TRUTH, LEGACY, NULL, NULL, "encrypt FILE")
FLAG(ROTATE, "rotate", "r", TRUTH, LEGACY, NULL, NULL, "re-encrypt FILE with a new data key")
FLAG(SET, "set", NULL, TEXT, LEGACY, NULL, "'[\"KEY\"] JSON'", "set one value in FILE")
FLAG(IN_PLACE, "in-place", "i", TRUTH, WRITERS | GROUPS, NULL, NULL, "write to the file itself")
FLAG(OUTPUT, "output", NULL, TEXT, WRITERS, NULL, "FILE", "output file (default: stdout)")
FLAG(EXTRACT, "extract", NULL, TEXT, LEGACY | DECRYPT, NULL, "'[\"KEY\"][0]'",
     "print only this part of the document")
FLAG(INPUT_TYPE, "input-type", NULL, TEXT, ONE_FILE | UPDATEKEYS | FILESTATUS | EXEC_FILE, NULL,
     "TYPE", TYPES)
FLAG(OUTPUT_TYPE, "output-type", NULL, TEXT, ONE_FILE | EXEC_FILE, NULL, "TYPE", TYPES)
FLAG(FILENAME_OVERRIDE, "filename-override", NULL, TEXT, WRITERS, NULL, "NAME",
     "file name for types and creation rules")
FLAG(IGNORE_MAC, "ignore-mac", NULL, TRUTH, LEGACY | DECRYPT | EDIT | SET | UNSET, NULL, NULL,
     "do not check the MAC")
FLAG(DECRYPTION_ORDER, "decryption-order", NULL, TEXT,
     LEGACY | DECRYPT | ROTATE | EDIT | SET | UNSET | EXEC, "SOPS_DECRYPTION_ORDER", "TYPES",
     "key types to try first, as age,pgp")
FLAG(INDENT, "indent", NULL, NUMBER, ONE_FILE | GROUPS | EXEC_FILE, NULL, "N",
     "spaces per level of YAML or JSON")
FLAG(CONFIG, "config", NULL, TEXT, WITH_DATA_KEY | FILESTATUS, "SOPS_CONFIG", "FILE",
     "configuration (default: the nearest .sops.yaml)")
KEYS(AGE, "age", "a", "SOPS_AGE_RECIPIENTS", "RECIPIENTS", "age public keys, comma-separated",
     "age public keys to add", "age public keys to remove")
KEYS(PGP, "pgp", "p", "SOPS_PGP_FP", "FINGERPRINTS", "PGP keys, comma-separated", "PGP keys to add",
     "PGP keys to remove")
KEYS_UNSUPPORTED(KMS, "kms", "k", "SOPS_KMS_ARN", "ARNS")
KEYS_UNSUPPORTED(GCP_KMS, "gcp-kms", NULL, "SOPS_GCP_KMS_IDS", "IDS")
KEYS_UNSUPPORTED(HCKMS, "hckms", NULL, "SOPS_HUAWEICLOUD_KMS_IDS", "IDS")
KEYS_UNSUPPORTED(AZURE_KV, "azure-kv", NULL, "SOPS_AZURE_KEYVAULT_URLS", "URLS")
KEYS_UNSUPPORTED(HC_VAULT_TRANSIT, "hc-vault-transit", NULL, "SOPS_VAULT_URIS", "URIS")
FLAG(AWS_PROFILE, "aws-profile", NULL, TEXT, NEW_FILES | GROUPS_ADD, NULL, "NAME", UNSUPPORTED)
FLAG(ENCRYPTION_CONTEXT, "encryption-context", NULL, TEXT, NEW_FILES | ROTATE | GROUPS_ADD, NULL,
     "PAIRS", UNSUPPORTED)
FLAG(UNENCRYPTED_SUFFIX, "unencrypted-suffix", NULL, TEXT, NEW_FILES, NULL, "TEXT",
     "do not encrypt keys with this suffix")
FLAG(ENCRYPTED_SUFFIX, "encrypted-suffix", NULL, TEXT, NEW_FILES, NULL, "TEXT",
     "encrypt only keys with this suffix")
FLAG(UNENCRYPTED_REGEX, "unencrypted-regex", NULL, TEXT, NEW_FILES, NULL, "REGEX",
     "do not encrypt keys that match")
FLAG(ENCRYPTED_REGEX, "encrypted-regex", NULL, TEXT, NEW_FILES, NULL, "REGEX",
     "encrypt only keys that match")
FLAG(UNENCRYPTED_COMMENT_REGEX, "unencrypted-comment-regex", NULL, TEXT, NEW_FILES, NULL, "REGEX",
     "do not encrypt values with a matching comment")
FLAG(ENCRYPTED_COMMENT_REGEX, "encrypted-comment-regex", NULL, TEXT, NEW_FILES, NULL, "REGEX",
     "encrypt only values with a matching comment")
FLAG(MAC_ONLY_ENCRYPTED, "mac-only-encrypted", NULL, TRUTH, NEW_FILES, NULL, NULL,
     "compute the MAC over encrypted values only")
FLAG(SHAMIR_THRESHOLD, "shamir-secret-sharing-threshold", NULL, NUMBER,
     NEW_FILES | SET | UNSET | GROUPS, NULL, "N", "key groups required to decrypt")
FLAG(SHOW_MASTER_KEYS, "show-master-keys", "s", TRUTH, LEGACY | EDIT, NULL, NULL,
     "show the metadata in the editor")
FLAG(VALUE_FILE, "value-file", NULL, TRUTH, SET, NULL, NULL, "VALUE is a file with the JSON value")
FLAG(VALUE_STDIN, "value-stdin", NULL, TRUTH, SET, NULL, NULL, "read the JSON value from stdin")
FLAG(IDEMPOTENT, "idempotent", NULL, TRUTH, SET | UNSET, NULL, NULL,
     "do not rewrite a file that does not change")
FLAG(YES, "yes", "y", TRUTH, UPDATEKEYS, NULL, NULL, "do not ask")
FLAG(FILE, "file", "f", TEXT, GROUPS, NULL, "FILE", "the document")
FLAG(PRISTINE, "pristine", NULL, TRUTH, EXEC_ENV, NULL, NULL, "do not pass the current environment")
FLAG(USER, "user", NULL, TEXT, EXEC, NULL, "NAME", "user to run the command as")
FLAG(SAME_PROCESS, "same-process", NULL, TRUTH, EXEC_ENV, NULL, NULL,
     "replace this process with the command (always so)")
FLAG(BACKGROUND, "background", NULL, TRUTH, EXEC, NULL, NULL,
     "do not wait for the command (deprecated)")
FLAG(NO_FIFO, "no-fifo", NULL, TRUTH, EXEC_FILE, NULL, NULL,
     "a file on a memory file system instead of a FIFO")
FLAG(FILENAME, "filename", NULL, TEXT, EXEC_FILE, NULL, "NAME", "name of that file")
FLAG(LOCAL_KEYSERVICE, "enable-local-keyservice", NULL, TRUTH, WITH_DATA_KEY,
     "SOPS_ENABLE_LOCAL_KEYSERVICE", NULL, "use the keys of this machine (default)")
FLAG(KEYSERVICE, "keyservice", NULL, LIST, WITH_DATA_KEY, "SOPS_KEYSERVICE", "URI", UNSUPPORTED)
FLAG(VERBOSE, "verbose", NULL, TRUTH, ALL_COMMANDS, NULL, NULL, "report each step")
FLAG(NO_VERSION_CHECK, "disable-version-check", NULL, TRUTH, LEGACY, "SOPS_DISABLE_VERSION_CHECK",
     NULL, "ignored: versions are not checked")
FLAG(VERSION_CHECK, "check-for-updates", NULL, TRUTH, LEGACY, NULL, NULL,
     "ignored: versions are not checked")
FLAG(VERSION, "version", "v", TRUTH, LEGACY, NULL, NULL, "print the version")
FLAG(HELP, "help", "h", TRUTH, ALL_COMMANDS, NULL, NULL, "print this help")

#undef KEYS
#undef KEYS_UNSUPPORTED
#undef FLAG
