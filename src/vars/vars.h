/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of secrets beside the declaration, in the layout that clan has on disk, and the
 * generators that fill it:
 *
 *     sops/machines/<machine>/key.json                     a machine's age recipient, public
 *     vars/per-machine/<machine>/<generator>/<file>/secret a SOPS document
 *     vars/per-machine/<machine>/<generator>/<file>/value  a file that is not secret, in the clear
 *     vars/per-machine/…/<file>/machines/<machine>         a link to the machine that may read it
 *     vars/…/<generator>/.validation-hash                  what `validation` was
 *     vars/shared/<generator>/<file>/…                     the same for all machines
 *
 * The store is untrusted input for who reads it, and public but for the documents' values. A
 * generator's files appear together, by one rename, or not at all. Plaintext is in `struct secret`,
 * and while a script runs in its $out folder on a memory file system, which is wiped afterwards.
 */
#ifndef VMCRED_VARS_VARS_H
#define VMCRED_VARS_VARS_H

#include "age/age.h"
#include "base/report.h"
#include "base/secret.h"
#include "config/config.h"

/* systemd takes no larger credential: systemd.exec(5), LoadCredential=. */
#define VARS_SECRET_SIZE_MAX ((size_t)1024 * 1024)

/* A document of the largest secret: four thirds of it, the recipients and the MAC. */
#define VARS_DOCUMENT_SIZE_MAX (4 * VARS_SECRET_SIZE_MAX)

/* A file of a generator, for a machine. `machine` is NULL where the generator is shared. */
struct vars_location {
	const char *machine;
	const struct config_generator *generator;
	const struct config_file *file;
};

/*
 * The file's path below the store: "vars/per-machine/M/G/F/secret". The caller frees it; NULL
 * without memory.
 */
char *vars_location_path(const struct vars_location *location);

/* Whether the file is in the store. Returns 1, 0, or a negative code. */
int vars_store_has(int store_dirfd, const struct vars_location *location, struct error *err);

/*
 * Reads and decrypts a file of the store. VMCRED_MISSING: it is not there, or no identity opens it.
 * VMCRED_INTEGRITY: it was changed. The errors name the file.
 */
int vars_store_read(int store_dirfd, const struct vars_location *location,
		    const struct age_identities *identities, struct secret *value,
		    struct error *err);

/* A generator's finished file, on its way into the store. */
struct vars_value {
	const struct config_file *file;
	struct secret plaintext;
	bool made; /* by the script, which need not make a persisted prompt's file */
};

/*
 * Encrypts a generator's values to the machines (NULL-terminated names) and puts them into the
 * store in one step. What was there for the generator is replaced. `machine` is NULL for a shared
 * generator. The caller holds the store's lock.
 */
int vars_store_write(int store_dirfd, const char *machine, const struct config_generator *generator,
		     const struct vars_value *values, char *const *machines, struct error *err);

/*
 * The SHA-256 of the generator's `validation` in hexadecimal, as clan computes it; "" for none.
 */
#define VARS_HASH_SIZE 65
int vars_validation_hash(const struct config_generator *generator, char hash[VARS_HASH_SIZE],
			 struct error *err);

/* The hash that is in the store for the generator; "" for none. */
int vars_store_hash(int store_dirfd, const char *machine, const struct config_generator *generator,
		    char hash[VARS_HASH_SIZE], struct error *err);

/* Registers a machine's recipient. A different one that is there already is replaced with `force`
 * only. */
int vars_store_machine_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			   struct error *err);

/* Adds a machine's recipient, from its key.json. VMCRED_MISSING: the machine has none. */
int vars_store_machine_recipient(int store_dirfd, const char *machine,
				 struct age_recipients *recipients, struct error *err);

/* What a generator may use: an answer to one of its prompts, or a file that it depends on. */
struct vars_input {
	char *name;          /* owned; the prompt's name, or GENERATOR/FILE */
	struct secret value; /* owned */
};

/* Starts as {.config = …, .store_dirfd = …}, which are borrowed. */
struct vars_inputs {
	const struct config *config;
	int store_dirfd;             /* what relative paths of the declaration are relative to */
	bool no_sandbox;             /* scripts run without one */
	unsigned int script_seconds; /* they are ended after that time; 0: the default */
	struct vars_input *items;
	size_t count;
};

#define _cleanup_vars_inputs_ __attribute__((cleanup(vars_inputs_destroy)))

/* Adds a copy. */
int vars_inputs_add(struct vars_inputs *inputs, const char *name, struct span value,
		    struct error *err);

/* VMCRED_FAILED: there is none of that name. The span lives as long as the inputs. */
int vars_inputs_find(const struct vars_inputs *inputs, const char *name, struct span *value,
		     struct error *err);
void vars_inputs_destroy(struct vars_inputs *inputs);

/*
 * Runs a generator's script or its built-in kinds. `values` has generator->file_count zeroed
 * entries, which the caller releases with vars_values_release(), after an error too.
 */
int vars_generator_run(const struct config_generator *generator, const struct vars_inputs *inputs,
		       struct vars_value *values, struct error *err);
void vars_values_release(struct vars_value *values, size_t count);

/* Why a generator's files are made. */
enum vars_reason {
	VARS_MISSING,    /* they are not there */
	VARS_ASKED,      /* --regenerate */
	VARS_VALIDATION, /* what the declaration says in `validation` has changed */
	VARS_DEPENDENCY, /* a generator that they depend on makes new files */
};

/* A generator that shall make its files. */
struct vars_job {
	const struct config_generator *generator;
	char *machine; /* NULL: shared */
	enum vars_reason reason;
};

/* What `vmcred generate` is asked for, and who helps. */
struct vars_generate_options {
	char *const *machines;       /* NULL-terminated names; NULL: all */
	const char *generator;       /* NULL: all */
	bool regenerate;             /* make anew what is there */
	bool dry_run;                /* say what would be made */
	bool no_sandbox;             /* run scripts without one */
	unsigned int script_seconds; /* how long a script may take; 0: ten minutes */

	/* Called once for each generator that was made, or would be. */
	void (*generated)(const struct vars_job *job, void *data);

	/* Adds the answer to a prompt; asked once in a run, whatever the number of machines. */
	int (*ask)(const struct config_generator *generator, const struct config_prompt *prompt,
		   struct secret *answer, void *data, struct error *err);

	/* The identities for files of the store that a generator depends on; called when the first
	 * is needed. They stay the callee's. */
	int (*identities)(const struct age_identities **identities, void *data, struct error *err);

	void *data;
};

/*
 * Makes what is declared and missing in the store, what depends on it, and what the declaration's
 * `validation` says is outdated. One generator after the other is finished whole; an error ends the
 * run and leaves the finished ones. A second run at the same time waits for the first.
 */
int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  struct error *err);

#endif
