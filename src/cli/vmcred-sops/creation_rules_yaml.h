/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading nodes of a public YAML file as generously as go-yaml does into typed fields. For
 * creation_rules_read.c alone; documents are never read so.
 */
#ifndef VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_YAML_H
#define VMCRED_CLI_VMCRED_SOPS_CREATION_RULES_YAML_H

#include <libfyaml.h>
#include <stdbool.h>

#include "base/error.h"
#include "sops/sops.h"

struct rules_yaml_reader {
	const char *path; /* for errors */
	struct fy_document *document;
	struct fy_diag *diag;
	int groups; /* that were merged so far */
	struct error *err;
};

/* Parses a text; rules_yaml_close() releases what it made, also after a failure. */
int rules_yaml_open(struct rules_yaml_reader *reader, const char *text, size_t size);
void rules_yaml_close(struct rules_yaml_reader *reader);

/* NULL for an empty document. */
struct fy_node *rules_yaml_root(const struct rules_yaml_reader *reader);

/* What an alias stands for, any other node itself. */
struct fy_node *rules_yaml_resolve(struct fy_node *node);
bool rules_yaml_is_null(struct fy_node *node);
int rules_yaml_line(struct fy_node *node);

/* The value under a key of a mapping, also one that is merged in ("<<"); NULL where it is not there
 * or null. */
struct fy_node *rules_yaml_member(struct fy_node *map, const char *name);

/* VMCRED_USAGE: "FILE:LINE: text". */
int rules_yaml_reject(const struct rules_yaml_reader *reader, struct fy_node *node,
		      const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A scalar's text in new memory, with the error set where it is none. The caller frees it. */
char *rules_yaml_text(const struct rules_yaml_reader *reader, struct fy_node *node);
int rules_yaml_bool(const struct rules_yaml_reader *reader, struct fy_node *node, bool *value);
int rules_yaml_number(const struct rules_yaml_reader *reader, struct fy_node *node, long least,
		      long most, long *value);

/* creation_rules_keys.c: adds the key groups of a rule, at least one, to the empty policy. */
int rules_keys_read(struct rules_yaml_reader *reader, struct fy_node *node,
		    struct sops_policy *policy);

#endif
