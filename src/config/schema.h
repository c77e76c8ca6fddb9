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

/* `credentialSource`, a reader_key's function. */
int schema_source(struct reader *reader, struct fy_node *value, void *target);

/* `generators.<name>.kind`: reads the kinds into the files that they belong to. */
int schema_kinds(struct reader *reader, struct config_generator *generator, struct fy_node *node);
void schema_kind_release(struct config_kind *kind);

/* Checks a kind's options against each other, before those that were not given have their defaults.
 */
int schema_kind_check(struct reader *reader, struct fy_node *node, struct config_kind *kind,
		      const char *generator);

/* Checks what kinds are made from, when all generators are known. VMCRED_USAGE: it is not declared,
 * or does not come before. */
int schema_kinds_uses(struct reader *reader, const struct config *config,
		      const struct config_generator *generator);

/* Without a script, an answer must be stored or be what a kind is of. */
int schema_prompts_check(struct reader *reader, const struct config_generator *generator);

/* An entry of `generators.<name>.prompts`, for reader_entries(). */
int schema_prompt(struct reader *reader, const char *name, struct fy_node *key,
		  struct fy_node *value, void *entry);

/* `generators.<name>.validation`, a reader_key's function: any value, as JSON text. */
int schema_validation(struct reader *reader, struct fy_node *value, void *target);

/*
 * What clan's generators say too, as functions of a reader_key. The name of an entry, which must be
 * the one that `*target` has already; a prompt's `display`, which is for a graphical interface and
 * of no use here; `runtimeInputs`, folders whose bin/ the script finds its programs in.
 */
int schema_same_name(struct reader *reader, struct fy_node *value, void *target);
int schema_display(struct reader *reader, struct fy_node *value, void *target);
int schema_runtime_inputs(struct reader *reader, struct fy_node *value, void *target);

/* Puts the runtime inputs into the script, and takes an empty script for none. */
int schema_script_finish(struct config_generator *generator, struct error *err);

/* Sorts the names of machines and generators, which config_machine_find() and its like need. */
int schema_names(struct config *config, struct error *err);

/* Lists the generators of each machine; needs their order. VMCRED_USAGE: a machine that is not
 * declared. */
int schema_machine_generators(struct reader *reader, struct config *config);

/*
 * Checks what the generators depend on, and puts them in order. VMCRED_USAGE: a name that is not
 * declared, or a circle, which the error shows whole.
 */
int schema_dependencies(struct reader *reader, struct config *config);

/* A checked copy of a name that becomes a folder of the store; `what` is for the error. */
int schema_store_name(struct reader *reader, const char *what, const char *name,
		      struct fy_node *key, char **copy);

/* A checked copy of a credential's name; replaces what `*copy` held. */
int schema_credential_name(struct reader *reader, const char *name, struct fy_node *node,
			   char **copy);

/* VMCRED_USAGE: "FILE:LINE: WHERE: there is no WHAT NAME"; `nearest` may be NULL. */
int schema_reference_reject(struct reader *reader, int line, const char *where, const char *what,
			    const char *name, const char *nearest);

/* Adds "did you mean" to a set error, where `nearest` is not NULL; returns its code. */
int schema_hint_nearest(struct reader *reader, const char *nearest);

/* The nearest of the entries' names; `stride` and `offset` find the name in an entry. */
const char *schema_entry_nearest(const char *name, const void *entries, size_t count, size_t stride,
				 size_t offset);

#endif
