/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of .sops.yaml, and how they are read: types are checked as sops declares them
 * (config/config.go), unknown keys are skipped, anchors and merge keys are followed. */
#ifndef VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_FILE_H
#define VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_FILE_H

#include "base/text.h"
#include "cli/vmcred-sops/creation_rules.h"
#include "yaml/yaml.h"

struct regex;

struct sops_creation_rule {
	char *path_regex;          /* owned; NULL or empty: for every file */
	struct regex *compiled;    /* owned; NULL until it is needed */
	struct sops_policy policy; /* owned */
	bool is_contradictory;     /* it selects the encrypted values in two ways */
	int line;
};

/* Stores with a layout, and their names under `stores`. */
#define SOPS_STORES_LAID_OUT 3

extern const struct sops_store_layout {
	const char *name;
	const char *store;
} sops_stores_laid_out[SOPS_STORES_LAID_OUT];

struct sops_creation_rules {
	char *path;                       /* owned */
	char *directory;                  /* owned; of the file, absolute, with '/' at its end */
	struct sops_creation_rule *items; /* owned */
	size_t count;
	bool has_rules;                     /* the key creation_rules exists */
	long indents[SOPS_STORES_LAID_OUT]; /* -1: not given */
};

/* creation_rules_read.c */

struct rules_reader {
	struct yaml yaml; /* owned */
	int groups;       /* the number of key groups merged so far */
	struct error *err;
};

/* VMCRED_USAGE: "FILE:LINE: text". The first frees the text. */
int rules_reject_text(const struct rules_reader *reader, const struct yaml_node *node, char *text);
#define rules_reject(reader, node, ...) rules_reject_text(reader, node, text_format(__VA_ARGS__))

/* VMCRED_USAGE: the node is not a mapping, "WHAT must be a mapping", or has a duplicate key. */
int rules_mapping_check(const struct rules_reader *reader, const struct yaml_node *node,
			const char *what);

/* The target of the value under a key, which may be merged in; NULL if it is missing or null. */
const struct yaml_node *rules_member(const struct yaml_node *mapping, const char *key);

/* The first item of a list from `at` on, or NULL. As in Go, an item that is null does not count. */
const struct yaml_node *rules_item(const struct yaml_node *list, const struct yaml_node *at);

/* A scalar's text in new memory, or NULL with the error set. The caller frees it. */
char *rules_text(const struct rules_reader *reader, const struct yaml_node *node);

/* creation_rules_keys.c: adds the key groups of a rule, at least one, to the empty policy. */
int rules_keys_read(struct rules_reader *reader, const struct yaml_node *node,
		    struct sops_policy *policy);

#endif
