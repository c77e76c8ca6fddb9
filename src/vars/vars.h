/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of secrets beside the declaration, in the layout that clan has on disk, and the
 * generators that fill it:
 *
 *     sops/machines/<machine>/key.json                     a machine's age recipient, public
 *     sops/users/<user>/key.json                           a person's
 *     sops/groups/<group>/{machines,users}/<name>          a link to each member
 *     vars/per-machine/<machine>/<generator>/<file>/secret a SOPS document
 *     vars/per-machine/<machine>/<generator>/<file>/value  a file that is not secret, in the clear
 *     vars/…/<file>/{machines,users,groups}/<name>         a link to each who may read it
 *     vars/…/<generator>/.validation-hash                  what `validation` was
 *     vars/shared/<generator>/<file>/…                     the same for all machines
 *     sops/secrets/<machine>-age.key/…                     a machine's own key
 *     sops/secrets/<name>/…                                what no generator makes
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
#include "sops/sops.h"

/* systemd takes no larger credential: systemd.exec(5), LoadCredential=. */
#define VARS_SECRET_SIZE_MAX ((size_t)1024 * 1024)

/* A document of the largest secret: four thirds of it, the recipients and the MAC. */
#define VARS_DOCUMENT_SIZE_MAX (4 * VARS_SECRET_SIZE_MAX)

/*
 * A file of a generator, for a machine. `machine` is NULL where the generator is shared.
 * `generator` is NULL for what is kept in sops/secrets: a machine's own key,
 * sops/secrets/<machine>-age.key, or, without a machine, what no generator makes (`clan secrets
 * set`) and the file's name names.
 */
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
 * Reads and decrypts a file of the store. VMCRED_MISSING: it is not there, or no key opens it.
 * VMCRED_INTEGRITY: it was changed. The errors name the file. A machine has identities of age
 * alone; for a person vars_keyring_load() makes the keyring. NULL: for a file that is not secret.
 */
int vars_store_read(int store_dirfd, const struct vars_location *location,
		    const struct sops_keyring *keyring, struct secret *value, struct error *err);

/* A generator's finished file, on its way into the store. */
struct vars_value {
	const struct config_file *file;
	struct secret plaintext;
	bool made; /* by the script, which need not make a persisted prompt's file */
};

/*
 * The SHA-256 of the generator's `validation` in hexadecimal, as clan computes it; "" for none.
 */
#define VARS_HASH_SIZE 65
int vars_validation_hash(const struct config_generator *generator, char hash[VARS_HASH_SIZE],
			 struct error *err);

/* Whether `validation` is another than when the generator's files were made: 1, 0, or a negative
 * code. */
int vars_validation_changed(int store_dirfd, const char *machine,
			    const struct config_generator *generator, struct error *err);

/*
 * Whether the file is a certificate of the kind tls that shall be made anew: it has expired or soon
 * will, or its authority has another certificate by now. Returns 1 and why in `*detail`, which the
 * caller frees, 0, or a negative code. What is not there or secret is not looked at.
 */
int vars_certificate_check(const struct config *config, int store_dirfd,
			   const struct vars_location *location, char **detail, struct error *err);

/* Those who can have a key, and groups of them. */
enum vars_member_type {
	VARS_MACHINE,
	VARS_USER,
	VARS_GROUP,
};

#define VARS_MEMBER_TYPES 3

/* "machine", "user", "group" */
const char *vars_member_type_name(enum vars_member_type type);

/* Adds a public key to a list, if it is one: an age recipient, or a PGP key's fingerprint.
 * VMCRED_USAGE: it is not. */
int vars_key_add(struct sops_key_group *keys, enum sops_key_type type, const char *text,
		 struct error *err);

/* Registers the public keys of a machine or a user. Different ones that are there already are
 * replaced with `force` only. */
int vars_member_keys_write(int store_dirfd, enum vars_member_type type, const char *name,
			   const struct sops_key_group *keys, bool force, struct error *err);
int vars_machine_key_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			 struct error *err);

/* Whether exactly this key is registered for the machine: also after an error of the above. */
bool vars_machine_key_is(int store_dirfd, const char *machine, const char *public_key);

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

/* The same, and the entries themselves, which may be NULL. */
void vars_values_free(struct vars_value *values, size_t count);

/* Gives identities when the first is needed; they stay the callee's. */
typedef int (*vars_identities_fn)(const struct age_identities **identities, void *data,
				  struct error *err);

/*
 * What a person opens the secret with: the identities, which the keyring borrows, and gpg. Without
 * identities (VMCRED_MISSING) it is gpg alone, if the secret may be for a PGP key; else that is the
 * error.
 */
int vars_keyring_load(int store_dirfd, const struct vars_location *location,
		      vars_identities_fn identities, void *data, struct sops_keyring *keyring,
		      struct error *err);

/*
 * The user of the store who has the key of one of the identities, or else a PGP key whose private
 * half gpg has: with `defaultGroups: []` what is made is for whoever makes it, as with clan. NULL
 * where the declaration says more; then there is no need for identities. VMCRED_USAGE: there is no
 * such user. VMCRED_MISSING: nor are there identities. The caller frees `*writer`.
 */
int vars_writer_find(const struct config *config, int store_dirfd, vars_identities_fn identities,
		     void *data, char **writer, struct error *err);

/* Why a generator's files are made. */
enum vars_reason {
	VARS_REASON_MISSING,    /* they are not there */
	VARS_REASON_REQUESTED,  /* --regenerate */
	VARS_REASON_VALIDATION, /* what the declaration says in `validation` has changed */
	VARS_REASON_DEPENDENCY, /* a generator that they depend on makes new files */
	VARS_REASON_EXPIRY,     /* a certificate among them is of no use any more, or soon */
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

	/* Whether there is an answer without asking a person: it goes before the one that is in the
	 * store. Called by any thread; may be NULL. */
	bool (*answered)(const struct config_generator *generator,
			 const struct config_prompt *prompt, void *data);

	/* Adds the answer to a prompt; asked once in a run, whatever the number of machines. */
	int (*ask)(const struct config_generator *generator, const struct config_prompt *prompt,
		   struct secret *answer, void *data, struct error *err);

	/* For files of the store that a generator depends on, and to know who makes them. */
	vars_identities_fn identities;

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

/* Called for each file that is declared for the machines: shared ones first, then one machine after
 * the other. A negative code ends the walk. */
typedef int (*vars_each_fn)(const struct vars_location *location, void *data, struct error *err);

/* `machines`: NULL-terminated names; NULL: all. */
int vars_each(const struct config *config, char *const *machines, vars_each_fn each, void *data,
	      struct error *err);

/* What is not as the declaration has it. */
enum vars_fault {
	VARS_FAULT_NONE,
	VARS_FAULT_MISSING,
	VARS_FAULT_OUTDATED, /* `validation` has changed */
	VARS_FAULT_READERS,  /* encrypted to others than may read it, or the links say so */
	VARS_FAULT_EXPIRED,  /* a certificate of the kind tls is of no use any more, or soon */
	VARS_FAULT_NO_KEY, /* a machine that shall read secrets has none: no file, but the machine's
			    * key
			    */
};

/* Called for each file that was looked at, and for each machine without a key. `detail` says more,
 * for a person, or is NULL. */
typedef void (*vars_checked_fn)(const struct vars_location *location, enum vars_fault fault,
				const char *detail, void *data);

/*
 * Looks at the files that are declared for the machines, as vars_each(), and behind them at what is
 * kept in sops/secrets. Nothing is decrypted. Many files are looked at at the
 * same time; `checked` is called from the caller's thread, in order.
 */
int vars_check(const struct config *config, int store_dirfd, char *const *machines,
	       vars_checked_fn checked, void *data, const struct report *report, struct error *err);

/* Someone who shall not count any more: about to be removed, or to be taken out of a group. Starts
 * as {0}: nobody. */
struct vars_exclusion {
	enum vars_member_type type;
	const char *name;
	const char *group; /* NULL: altogether */
};

struct vars_fix_options {
	char *const *machines;         /* NULL-terminated names; NULL: all */
	struct vars_exclusion exclude; /* counts no more */

	/* Called once from the caller's thread, before the first secret is opened. */
	vars_identities_fn identities;

	/* Called for each secret that was changed; `detail` says what, for a person. */
	void (*fixed)(const struct vars_location *location, const char *detail, void *data);

	/* Called for each secret that could not be changed; the others go on. */
	void (*failed)(const struct vars_location *location, const struct error *reason,
		       void *data);

	void *data;
};

/*
 * Encrypts secrets, and the machines' own keys in the store, to those who may read them by their
 * links and by the declaration, and makes the links so, where that is not so. All others stay
 * untouched. Many are worked on at the same time; the functions are called from the caller's
 * thread, in the order of vars_check(). An error is one that ends all: no identity could be loaded.
 * The caller holds the store's lock.
 */
int vars_fix(const struct config *config, int store_dirfd, const struct vars_fix_options *options,
	     const struct report *report, struct error *err);

/* Puts one value into the store, for the readers that the file has or would get, and for `writer`
 * (vars_writer_find(); may be NULL). The caller holds the store's lock. */
int vars_set(const struct config *config, int store_dirfd, const struct vars_location *location,
	     const char *writer, struct span plaintext, struct error *err);

/* Takes the store's lock, until its descriptor is closed; waits for who has it, and says so.
 * Removes what a run that was killed left. */
int vars_lock(int store_dirfd, const struct report *report, struct error *err);

/* The names of all machines, users or groups of the store, sorted, NULL-terminated. The caller
 * frees it with config_texts_free(). */
int vars_members_list(int store_dirfd, enum vars_member_type type, char ***names,
		      struct error *err);

/* VMCRED_MISSING: there is no such machine, user or group. */
int vars_member_check(int store_dirfd, enum vars_member_type type, const char *name,
		      struct error *err);

/* Whether a machine or user is in a group: 1, 0, or a negative code. */
int vars_member_is_grouped(int store_dirfd, enum vars_member_type type, const char *name,
			   struct error *err);

/* Makes a key for a machine that has none, or in place of the one that it has with `force`: the
 * private half is kept in the store, encrypted to the users, and to `writer` (vars_writer_find();
 * may be NULL). VMCRED_USAGE: there are none. */
int vars_machine_key_make(const struct config *config, int store_dirfd, const char *machine,
			  const char *writer, bool force, struct error *err);

/* Removes a machine, a user or a group, with its places in groups. VMCRED_MISSING: it is not there.
 */
int vars_member_remove(int store_dirfd, enum vars_member_type type, const char *name,
		       struct error *err);

/* Puts a machine or user into a group, which is made where it is not there, or takes it out. */
int vars_group_add(int store_dirfd, const char *group, enum vars_member_type type, const char *name,
		   struct error *err);
int vars_group_remove(int store_dirfd, const char *group, enum vars_member_type type,
		      const char *name, struct error *err);
/* VMCRED_MISSING: it is not in the group. */
int vars_group_member_check(int store_dirfd, const char *group, enum vars_member_type type,
			    const char *name, struct error *err);
int vars_group_members(int store_dirfd, const char *group, enum vars_member_type type,
		       char ***names, struct error *err);

#endif
