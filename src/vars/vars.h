/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of secrets beside the declaration, in the layout that clan has on disk, and the
 * generators that fill it:
 *
 *     sops/machines/<machine>/key.json                     a machine's age recipient, public
 *     vars/per-machine/<machine>/<generator>/<file>/secret a SOPS document
 *     vars/per-machine/<machine>/<generator>/<file>/value  a file that is not secret, in the clear
 *     vars/per-machine/…/<file>/machines/<machine>         a link to the machine that may read it
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
};

/*
 * Encrypts a generator's values to the machines (NULL-terminated names) and puts them into the
 * store in one step. What was there for the generator is replaced. `machine` is NULL for a shared
 * generator. The caller holds the store's lock.
 */
int vars_store_write(int store_dirfd, const char *machine, const struct config_generator *generator,
		     const struct vars_value *values, char *const *machines, struct error *err);

/* Registers a machine's recipient. A different one that is there already is replaced with `force`
 * only. */
int vars_store_machine_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			   struct error *err);

/* Adds a machine's recipient, from its key.json. VMCRED_MISSING: the machine has none. */
int vars_store_machine_recipient(int store_dirfd, const char *machine,
				 struct age_recipients *recipients, struct error *err);

/*
 * Runs a generator's script or its built-in kinds. `values` has generator->file_count zeroed
 * entries, which the caller releases with vars_values_release(), after an error too.
 */
int vars_generator_run(const struct config_generator *generator, struct vars_value *values,
		       struct error *err);
void vars_values_release(struct vars_value *values, size_t count);

/* What `vmcred generate` is asked for. */
struct vars_generate_options {
	char *const *machines; /* NULL-terminated names; NULL: all */
	const char *generator; /* NULL: all */
	bool regenerate;       /* make anew what is there */
	bool dry_run;          /* say what would be made */
};

/* Called once for each generator and machine (NULL: shared) that was made, or would be. */
typedef void (*vars_generated_fn)(const char *machine, const struct config_generator *generator,
				  void *data);

/*
 * Makes what is declared and missing in the store. One generator after the other is finished whole;
 * an error ends the run and leaves the finished ones. A second run at the same time waits for the
 * first.
 */
int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  vars_generated_fn generated, void *data, struct error *err);

#endif
