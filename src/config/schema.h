/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the schema of vmcred.yaml, a file each, and what they share. Inside config/ only. */
#ifndef VMCRED_CONFIG_SCHEMA_H
#define VMCRED_CONFIG_SCHEMA_H

#include <stdio.h>

#include "config/config.h"
#include "config/reader.h"

/* generator.c, prompt.c, vm.c: the entries of `generators`, `prompts` and `vms`. */
reader_entry schema_generator, schema_prompt, schema_vm;

/* `credentialSource`; `validation`, any value as JSON. */
reader_value schema_source, schema_validation;

/* clan.c: the name of an entry, which must equal the one that `*target` has already; `display`,
 * which is ignored; `runtimeInputs`, directories whose bin/ has the script's programs. */
reader_value schema_same_name, schema_display, schema_runtime_inputs;
/* Adds the runtime inputs to the script, and drops an empty script. */
int schema_script_finish(struct reader *reader, struct config_generator *generator);
/* A hint for a key that clan has and a declaration does not, or NULL. */
const char *schema_foreign_hint(const char *key);

/* builtin.c: `generators.<name>.kind`, which gives files their built-in generators. */
int schema_builtins(struct reader *reader, struct config_generator *generator,
		    const struct yaml_node *node);

/* builtin_check.c: checks a builtin's options, and sets defaults that depend on other options. */
int schema_builtin_check(struct reader *reader, const struct yaml_node *node,
			 struct config_builtin *builtin, const char *generator);
/* Without a script, an answer must be stored or be hashed. */
int schema_prompts_check(struct reader *reader, const struct config_generator *generator);

/* builtin_sources.c: checks passwords to hash and issuers, once all generators are known. */
int schema_builtin_sources_check(struct reader *reader, const struct config *config,
				 const struct config_generator *generator);

/* dependencies.c: sorts the names of machines and generators, for config_machine_find() and
 * config_generator_find(). */
int schema_names_sort(struct config *config, struct error *err);
/* Checks what generators depend on, and puts them in order; lists the generators of each machine.
 * VMCRED_USAGE: an undeclared name, or a dependency cycle. */
int schema_dependencies(struct reader *reader, struct config *config);

/* vm.c: with CONFIG_LENIENT, makes the error that is set the VM's problem and returns 0; else
 * returns its code. */
int schema_vm_fail(struct reader *reader, struct config_vm *vm);

/* part.c: config_part() of a declaration that was read. */
int schema_part(const struct yaml_node *root, const struct config *config, const char *machine,
		char **text, struct error *err);

/*
 * entry.c: prints YAML that is read as the same node, without some of its keys (NULL-terminated, or
 * NULL). Aliases are repeated, up to the limit. Negative: larger, or out of memory.
 */
int schema_node_print(FILE *stream, const struct yaml_node *node, const char *const *without,
		      size_t size_max);
/* Sets the `entry` of each VM. */
void schema_entries(const struct yaml_node *root, struct config *config);

/* memory.c: memory of the declaration, zeroed; a copy of a text, with a NUL after it; a copy of a
 * text that is freed, and may be NULL after a failed allocation. Each returns NULL with the
 * error set. */
void *schema_allocate(struct config *config, size_t count, size_t size, struct error *err);
char *schema_text(struct config *config, const char *text, size_t size, struct error *err);
char *schema_text_take(struct config *config, char *text, struct error *err);
void schema_memory_free(struct config *config);

/* unit.c: whether the VM's unit is microvm@<name>.service. */
bool schema_vm_has_default_unit(const struct config_vm *vm);

/* A checked copy of a name of a directory of the store; `what` is for the error. */
int schema_store_name(struct reader *reader, const char *what, const char *name,
		      const struct yaml_node *key, char **copy);

/* Checks a credential's name; a checked copy of it, which replaces `*copy`. */
int schema_credential_check(struct reader *reader, const char *name, const struct yaml_node *node);
int schema_credential_name(struct reader *reader, const char *name, const struct yaml_node *node,
			   char **copy);

#endif
