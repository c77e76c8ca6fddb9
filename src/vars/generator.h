/* SPDX-License-Identifier: Apache-2.0 */
/* A generator: its inputs, its values, and running it. */
#ifndef VMCRED_VARS_GENERATOR_H
#define VMCRED_VARS_GENERATOR_H

#include "vars/vars.h"

/* A file that a generator has created. */
struct value {
	const struct config_file *file;
	struct secret plaintext;
	bool made; /* false: the script left a persisted prompt's file to us */
};

/* Frees the array, which may be NULL. */
void values_free(struct value *values, size_t count);

/* An answer to a prompt, or a file of a dependency. */
struct input {
	char *name;          /* owned; the prompt's name, or GENERATOR/FILE */
	struct secret value; /* owned */
};

/* Starts with the borrowed fields and the options set. */
struct inputs {
	const struct config *config;
	const char *machine;         /* whose files are generated, or NULL: shared ones */
	int store_dirfd;             /* relative paths of the declaration start here */
	bool no_sandbox;             /* for scripts */
	unsigned int script_seconds; /* a script's time limit; 0: the default */
	struct input *items;
	size_t count;
};

#define _cleanup_inputs_ __attribute__((cleanup(inputs_destroy)))

/* Adds a copy. */
int inputs_add(struct inputs *inputs, const char *name, struct span value, struct error *err);

/* VMCRED_FAILED: no such input. The span lives as long as the inputs. */
int inputs_find(const struct inputs *inputs, const char *name, struct span *value,
		struct error *err);
void inputs_destroy(struct inputs *inputs);

/* Runs a generator's script or its built-in kinds. `values` has generator->file_count zeroed
 * entries, which are the caller's, also after an error. */
int generator_run(const struct config_generator *generator, const struct inputs *inputs,
		  struct value *values, struct error *err);

#endif
