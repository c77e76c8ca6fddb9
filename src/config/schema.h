/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the schema of vmcred.yaml, a file each, and what they share. Inside config/ only.
 */
#ifndef VMCRED_CONFIG_SCHEMA_H
#define VMCRED_CONFIG_SCHEMA_H

#include "config/config.h"
#include "config/reader.h"

/* The entries of `generators:` and `vms:`, for reader_entries(). */
int schema_generator(struct reader *reader, const char *name, struct fy_node *key,
		     struct fy_node *value, void *entry);
int schema_vm(struct reader *reader, const char *name, struct fy_node *key, struct fy_node *value,
	      void *entry);

/* A checked copy of a name that becomes a folder of the store; `what` is for the error. */
int schema_store_name(struct reader *reader, const char *what, const char *name,
		      struct fy_node *key, char **copy);

/* A checked copy of a credential's name; replaces what `*copy` held. */
int schema_credential_name(struct reader *reader, const char *name, struct fy_node *node,
			   char **copy);

/* Adds "did you mean" to a set error, where `nearest` is not NULL; returns its code. */
int schema_hint_nearest(struct reader *reader, const char *nearest);

/* The nearest of the entries' names; `stride` and `offset` find the name in an entry. */
const char *schema_entry_nearest(const char *name, const void *entries, size_t count, size_t stride,
				 size_t offset);

#endif
