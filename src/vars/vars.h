/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of secrets next to the declaration, in clan's layout, and the generators that fill it:
 *
 *     sops/machines/<machine>/key.json                     a machine's public key
 *     sops/users/<user>/key.json                           a user's public keys
 *     sops/groups/<group>/{machines,users}/<name>          a link to each member
 *     sops/secrets/<machine>-age.key/…                     a machine's own private key
 *     sops/secrets/<name>/…                                a secret without a generator
 *     vars/per-machine/<machine>/<generator>/<file>/secret a SOPS document
 *     vars/per-machine/<machine>/<generator>/<file>/value  a public file, unencrypted
 *     vars/shared/<generator>/<file>/…                     the same, shared by all machines
 *     vars/…/<file>/{machines,users,groups}/<name>         a link to each reader of a secret
 *     vars/…/<generator>/.validation-hash                  the hash of `validation`
 *
 * Readers treat the store as untrusted input; everything in it but the encrypted values is public.
 * A generator's files appear together, by one rename, or not at all. Plaintext exists in `struct
 * secret` and, while a script runs, in its $out on a memory file system, which is wiped afterwards.
 *
 * The functions do not change the process. `store_dirfd` is the directory of the declaration.
 */
#ifndef VMCRED_VARS_VARS_H
#define VMCRED_VARS_VARS_H

#include <sys/stat.h>

#include "age/age.h"
#include "base/lock.h"
#include "base/report.h"
#include "base/secret.h"
#include "base/text.h"
#include "config/config.h"
#include "sops/sops.h"

/* The largest credential of systemd: systemd.exec(5), LoadCredential=. */
#define VARS_SECRET_SIZE_MAX ((size_t)1024 * 1024)

/* A document of the largest secret: Base64, the recipients and the MAC. */
#define VARS_DOCUMENT_SIZE_MAX (4 * VARS_SECRET_SIZE_MAX)

/*
 * A file of a generator, for a machine; `machine` is NULL if the generator is shared. `generator`
 * is NULL for sops/secrets: with a machine, its own key sops/secrets/<machine>-age.key; without
 * one, sops/secrets/<name of the file>.
 */
struct vars_location {
	const char *machine;
	const struct config_generator *generator;
	const struct config_file *file;
};

/* "vars/per-machine/M/G/F/secret". The caller frees it; NULL without memory. */
char *vars_location_path(const struct vars_location *location);

/* Whether the file exists: 1, 0, or a negative code. */
int vars_store_has(int store_dirfd, const struct vars_location *location, struct error *err);

/*
 * Reads a file and decrypts it. VMCRED_MISSING: it does not exist, or no key opens it.
 * VMCRED_INTEGRITY: it was tampered with. Machines use age identities only; for a user
 * vars_keyring_load() creates the keyring. `keyring` may be NULL for a public file.
 */
int vars_store_read(int store_dirfd, const struct vars_location *location,
		    const struct sops_keyring *keyring, struct secret *value, struct error *err);

/* As above. `around` is the file's status before and after it was read. */
int vars_store_read_stat(int store_dirfd, const struct vars_location *location,
			 const struct sops_keyring *keyring, struct secret *value,
			 struct stat around[2], struct error *err);

/*
 * Reads a file as it is, for a bundle of the machine. VMCRED_MISSING: it does not exist, or is not
 * encrypted to the machine's registered key. VMCRED_FAILED: a secret that is not in a document, or
 * merge-conflict markers.
 */
int vars_store_read_sealed(int store_dirfd, const struct vars_location *location,
			   const char *machine, struct secret *text, struct error *err);

/* Called for each declared file: shared ones first, then machine by machine. A negative code stops
 * the iteration. */
typedef int (*vars_each_fn)(const struct vars_location *location, void *data, struct error *err);

/* `machines`: NULL-terminated names, or NULL for all. */
int vars_each(const struct config *config, char *const *machines, vars_each_fn each, void *data,
	      struct error *err);

/* Whether there is a store: a host may have the declaration only. */
bool vars_store_exists(int store_dirfd);

/* Locks the store; waits for another process, with a warning. Removes the temporary files of a
 * killed run. */
int vars_lock(struct lock *lock, int store_dirfd, const struct report *report, struct error *err);

/* Encrypts a value to the readers of the file and to `writer` (vars_writer_find(); may be NULL) and
 * stores it. The caller holds the lock. */
int vars_set(const struct config *config, int store_dirfd, const struct vars_location *location,
	     const char *writer, struct span plaintext, struct error *err);

/* Returns the user's identities, which remain the callee's. Called when they are first needed. */
typedef int (*vars_identities_fn)(const struct age_identities **identities, void *data,
				  struct error *err);

/*
 * The keys of a user: the identities, which the keyring borrows, and gpg. If there are no
 * identities (VMCRED_MISSING), gpg alone, provided that the secret has PGP recipients.
 */
int vars_keyring_load(int store_dirfd, const struct vars_location *location,
		      vars_identities_fn identities, void *data, struct sops_keyring *keyring,
		      struct error *err);

/*
 * The user that new secrets are also encrypted to if the declaration has `defaultGroups: []`: the
 * one with the key of an identity or, failing that, with a PGP key whose private half gpg has.
 * Otherwise NULL, without loading identities. VMCRED_USAGE: no such user. VMCRED_MISSING: no
 * identities either. The caller frees `*writer`.
 */
int vars_writer_find(const struct config *config, int store_dirfd, vars_identities_fn identities,
		     void *data, char **writer, struct error *err);

/* Why a generator runs. */
enum vars_reason {
	VARS_REASON_MISSING,    /* its files do not exist */
	VARS_REASON_REQUESTED,  /* --regenerate */
	VARS_REASON_VALIDATION, /* `validation` in the declaration has changed */
	VARS_REASON_DEPENDENCY, /* a dependency runs */
	VARS_REASON_EXPIRY,     /* a certificate has expired, or will soon */
	VARS_REASON_OVERDUE,    /* --overdue: older than rotateAfter */
};

/* A generator that runs. */
struct vars_job {
	const struct config_generator *generator;
	const char *machine; /* NULL: shared */
	enum vars_reason reason;
};

struct vars_generate_options {
	char *const *machines;       /* NULL-terminated names; NULL: all */
	const char *generator;       /* only this one and its dependencies; NULL: all */
	bool regenerate;             /* also if the files exist */
	bool overdue;                /* also if a secret is older than rotateAfter */
	bool dry_run;                /* only report the jobs */
	bool no_sandbox;             /* run scripts without a sandbox */
	unsigned int script_seconds; /* a script's time limit; 0: ten minutes */

	/* Called in order for each job that is done, or with `dry_run` would be. */
	void (*generated)(const struct vars_job *job, void *data);

	/* Whether an answer was given in advance, which replaces a stored one. Called by any
	 * thread; may be NULL. */
	bool (*answered)(const struct config_generator *generator,
			 const struct config_prompt *prompt, void *data);

	/* Appends the answer to a prompt. Called once a run for each prompt. */
	int (*ask)(const struct config_generator *generator, const struct config_prompt *prompt,
		   struct secret *answer, void *data, struct error *err);

	/* For stored files that a generator depends on, and for vars_writer_find(). */
	vars_identities_fn identities;

	void *data;
};

/*
 * Runs the generators whose files are missing or outdated, and those that depend on them. Each
 * generator's files appear together; after an error the finished ones remain. Locks the store.
 */
int vars_generate(const struct config *config, int store_dirfd,
		  const struct vars_generate_options *options, const struct report *report,
		  struct error *err);

/* How a file differs from the declaration. */
enum vars_fault {
	VARS_FAULT_NONE,
	VARS_FAULT_MISSING,
	VARS_FAULT_OUTDATED, /* `validation` has changed */
	VARS_FAULT_READERS,  /* wrong recipients, or wrong links */
	VARS_FAULT_EXPIRED,  /* a certificate has expired, or will soon */
	VARS_FAULT_OVERDUE,  /* a secret is older than rotateAfter */
	VARS_FAULT_NO_KEY,   /* the location's machine has no key; not about a file */
	VARS_FAULT_NO_NAME,  /* not bound to its name: it could be another secret's */
};

/* The result of opening a secret. */
enum vars_opening {
	VARS_OPENING_NONE, /* not tried */
	VARS_OPENED,
	VARS_CLOSED, /* it is not encrypted to one of the user's keys */
};

/* The result for a file, or for a machine without a key. */
struct vars_finding {
	enum vars_fault fault;
	const char *detail; /* for the user, or NULL */
	enum vars_opening opening;
	const struct error *failure; /* the reason why the file could not be checked, or NULL */

	/* Of a file that exists. */
	bool exists;
	int64_t modified; /* of a secret: when it got its value (sops_document_modified()), else 0
			   */
	const struct strings *readers; /* with `describes`: "user ada", or a key without an owner */
	int64_t not_after; /* with `describes`: of the certificate that a public file is, or 0 */
};

struct vars_check_options {
	char *const *machines; /* NULL-terminated names; NULL: all */

	bool describes; /* find what struct vars_finding has only with this */

	/* Called in order, by the calling thread. */
	void (*checked)(const struct vars_location *location, const struct vars_finding *finding,
			void *data);

	/* Opens each secret with these identities and gpg. Called once, by the calling thread,
	 * before the first secret is opened. NULL: nothing is decrypted. */
	vars_identities_fn identities;

	/* Called by any thread with each value that was opened or is public, if `identities` is
	 * set. */
	void (*opened)(const struct vars_location *location, struct span value, void *data);

	void *data;
};

/*
 * Checks the files of vars_each(), then sops/secrets. Uses all processors. A file that cannot be
 * checked does not stop the others. Fails only if nothing can be checked.
 */
int vars_check(const struct config *config, int store_dirfd,
	       const struct vars_check_options *options, const struct report *report,
	       struct error *err);

/* What vmcred stored and the declaration no longer has. Starts as {0}. */
struct vars_orphans {
	struct strings machines; /* owned; names, of registered ones and others */
	struct strings members;  /* owned; paths of those that are registered, */
	struct strings paths; /* owned; and of generators, files, private keys, links in groups */
};

#define _cleanup_vars_orphans_ __attribute__((cleanup(vars_orphans_destroy)))

int vars_orphans_find(const struct config *config, int store_dirfd, struct vars_orphans *orphans,
		      struct error *err);
void vars_orphans_destroy(struct vars_orphans *orphans);

enum vars_member_type {
	VARS_MACHINE,
	VARS_USER,
	VARS_GROUP, /* of machines and users */
};

#define VARS_MEMBER_TYPES 3

/* A planned change of the members of the store: checked before it is made. */
struct vars_member_change {
	enum vars_member_type type;
	const char *name;
	const char *group;                 /* of its membership in this group only; or NULL */
	const struct sops_key_group *keys; /* its new keys; NULL: none change */
	bool removed;                      /* from the group, or from the store; else it is added */
	bool is_new_key;                   /* vars_machine_key_make() stores its private half */
};

/* What vars_fix() will do with a secret. */
struct vars_fix_change {
	const struct vars_location *location;
	const char *detail;                    /* a text for the user */
	const struct strings *added, *removed; /* recipients, such as "user ada age1..." */
};

struct vars_fix_options {
	char *const *machines; /* NULL-terminated names; NULL: all */

	/*
	 * The members are those after these changes, which `commit` makes. If a member or a key is
	 * removed, only the secrets that it reads are changed, and nothing at all, nor `commit`
	 * called, unless each of them can be changed.
	 */
	const struct vars_member_change *members;
	size_t member_count;

	bool bind;    /* also bind secrets to their names, which are not */
	bool dry_run; /* only find out what would be done, and whether it would fail */

	/* Called once, by the calling thread, before the first secret is opened. */
	vars_identities_fn identities;

	/* Called once, before the first secret is changed, also with `dry_run`; may be NULL.
	 * `readable`: how many secrets a removed member is still linked to. */
	int (*commit)(size_t readable, void *data, struct error *err);

	/* Called for each secret before it is changed, or after it was only bound to its name. */
	void (*fixing)(const struct vars_fix_change *change, void *data);

	/* Called for each secret that could not be changed; the others are still fixed. */
	void (*failed)(const struct vars_location *location, const struct error *reason,
		       void *data);

	void *data;
};

/*
 * Encrypts each secret, and each machine's own key, to its readers (the declared ones and those of
 * its links) and corrects the links. Correct ones are not touched. A secret that users read keeps
 * one of them. Uses all processors; the functions are called in the order of vars_check(), by the
 * calling thread. Fails only if nothing can be fixed, such as without identities. The caller holds
 * the lock, unless it is a dry run.
 */
int vars_fix(const struct config *config, int store_dirfd, const struct vars_fix_options *options,
	     const struct report *report, struct error *err);

/* "machine", "user", "group" */
const char *vars_member_type_name(enum vars_member_type type);

/* Adds all names of the type, sorted. */
int vars_members_list(int store_dirfd, enum vars_member_type type, struct strings *names,
		      struct error *err);

/* VMCRED_MISSING: no such machine, user or group; with a similar name. */
int vars_member_check(int store_dirfd, enum vars_member_type type, const char *name,
		      struct error *err);

/*
 * Adds the paths in the store that belong to a machine or user only: its own directory to `own`,
 * which makes it a member; to `others` its links in groups and, of a machine, its private key and
 * its secrets.
 */
int vars_member_paths(int store_dirfd, enum vars_member_type type, const char *name,
		      struct strings *own, struct strings *others, struct error *err);

/* Removes a path of the store in one step, and directories that this leaves empty. */
int vars_path_remove(int store_dirfd, const char *path, struct error *err);

/* Adds a public key: an age recipient, or a PGP fingerprint. VMCRED_USAGE: it is not one. */
int vars_key_add(struct sops_key_group *keys, enum sops_key_type type, const char *text,
		 struct error *err);

/* Whether the keys must be registered: 1, 0 if they are, or a negative code, such as if others are
 * and `force` is false. */
int vars_member_keys_check(int store_dirfd, enum vars_member_type type, const char *name,
			   const struct sops_key_group *keys, bool force, struct error *err);

/* Whether another machine or user has one of the keys: 1 and, in `*other`, its name, such as
 * "machine web", which the caller frees; 0, or a negative code. */
int vars_keys_find_other(int store_dirfd, const struct sops_key_group *keys,
			 enum vars_member_type type, const char *name, char **other,
			 struct error *err);

/* Registers the public keys of a machine or user. Different ones are replaced only with `force`. */
int vars_member_keys_write(int store_dirfd, enum vars_member_type type, const char *name,
			   const struct sops_key_group *keys, bool force, struct error *err);
int vars_machine_key_add(int store_dirfd, const char *machine, const char *public_key, bool force,
			 struct error *err);

/* Whether exactly this key is registered for the machine. */
bool vars_machine_key_is(int store_dirfd, const char *machine, const char *public_key);

/* Whether a key is registered for the machine: 1, 0, or a negative code. */
int vars_machine_has_key(int store_dirfd, const char *machine, struct error *err);

/* Registers a new key for a machine. The private half is stored, encrypted to the users and to
 * `writer` (may be NULL). VMCRED_USAGE: there are none. `key` may be NULL to check only that. */
int vars_machine_key_make(const struct config *config, int store_dirfd, const char *machine,
			  const char *writer, const struct age_identity *key, struct error *err);

/* Adds a machine or user to a group, which is created if necessary. */
int vars_group_add(int store_dirfd, const char *group, enum vars_member_type type, const char *name,
		   struct error *err);

/* VMCRED_MISSING: it is not in the group. */
int vars_group_member_check(int store_dirfd, const char *group, enum vars_member_type type,
			    const char *name, struct error *err);

/* Whether it is in any group: 1, 0, or a negative code. */
int vars_member_is_grouped(int store_dirfd, enum vars_member_type type, const char *name,
			   struct error *err);

/* Adds the names of the group's machines or users, sorted. */
int vars_group_members(int store_dirfd, const char *group, enum vars_member_type type,
		       struct strings *names, struct error *err);

#endif
