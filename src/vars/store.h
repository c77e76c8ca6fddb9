/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of vars/ share about the store's layout. Inside vars/ only.
 */
#ifndef VMCRED_VARS_STORE_H
#define VMCRED_VARS_STORE_H

#include "vars/vars.h"

struct roster; /* vars/roster.h */

#define STORE_HASH_NAME ".validation-hash" /* as clan has it */

/* The folder that holds a machine's generators, or the shared ones (NULL): "vars/per-machine/M",
 * "vars/shared". NULL without memory; the caller frees it. */
char *store_generators_path(const char *machine);

/* Whether a document is for a PGP key. */
bool store_document_has_pgp(const struct sops_document *document);

/* vars_keyring_load() for a document that was looked at already. */
int store_keyring_load(bool has_pgp, vars_identities_fn identities, void *data,
		       struct sops_keyring *keyring, struct error *err);

/* Whether a public file can be read, and is no merge's left-over. */
int vars_value_check(int store_dirfd, const struct vars_location *location, struct error *err);

/* What leads from the folder of a secret's links to the folder sops, as clan's links do. */
const char *store_up(const struct vars_location *location);
#define STORE_UP_MACHINE_KEY "../../.."

/* "machines", "users", "groups": the folder below sops/, and below each secret. */
const char *store_kind_directory(enum vars_member_type type);

/* "sops/<kind>/<name>". NULL without memory; the caller frees it. */
char *store_member_path(enum vars_member_type type, const char *name);

/* Adds the keys of a machine or a user. VMCRED_MISSING: there is no key.json. */
int store_key_read(int store_dirfd, enum vars_member_type type, const char *name,
		   struct sops_key_group *keys, struct error *err);

/* The error for a machine or a user without a key. */
int store_no_key(enum vars_member_type type, const char *name, struct error *err);

/* The names in a folder that have no '.' at their beginning, sorted, NULL-terminated; empty where
 * there is no such folder. The caller frees it with config_texts_free(). */
int store_names_list(int dirfd, const char *folder, char ***names, struct error *err);

/*
 * Who may read a secret: links in its folders machines/, users/ and groups/, as clan keeps them.
 * They count by their names; one that leads elsewhere is made right. Starts as {0}; owned.
 */
struct access {
	char **names[VARS_MEMBER_TYPES]; /* sorted, NULL-terminated */
};

#define _cleanup_access_ __attribute__((cleanup(access_destroy)))

/* From the links of the secret in `secret_dirfd`. */
int access_read(int secret_dirfd, struct access *access, struct error *err);

/* What the declaration gives: the machines (NULL-terminated; may be NULL), and the default groups,
 * or all users where it says nothing of groups. `writer`, who makes the secret, may be NULL. */
int access_declared(const struct config *config, struct roster *roster, char *const *machines,
		    const char *writer, struct access *access, struct error *err);

/* Adds those of `from` that count (roster_has()): a link to somebody who is not there any more
 * gives nothing to anybody. */
int access_keep(const struct access *from, enum vars_member_type type, struct roster *roster,
		struct access *to, struct error *err);

/* Adds the users and groups that the secret in `folder` was given to by its links; machines are the
 * declaration's alone. A folder that is not there gives nothing. */
int access_given(int dirfd, const char *folder, struct roster *roster, struct access *access,
		 struct error *err);

bool access_equal(const struct access *a, const struct access *b);
bool access_has(const struct access *access, enum vars_member_type type, const char *name);
void access_destroy(struct access *access);

/* Adds copies of the names that are not there yet. */
int access_add(struct access *access, enum vars_member_type type, char *const *names,
	       struct error *err);

/*
 * The keys of all of them, each once; for groups those of their members. The list is the caller's
 * (access_keys_destroy()), the keys in it are the roster's.
 */
int access_keys(const struct access *access, struct roster *roster, struct sops_key_group *keys,
		struct error *err);
void access_keys_destroy(struct sops_key_group *keys);

#define _cleanup_access_keys_ __attribute__((cleanup(access_keys_destroy)))

/* Whether gpg has all their PGP keys (vars/roster.h); for those who encrypt to them. */
int access_gpg_check(const struct access *access, struct roster *roster, struct error *err);

/*
 * Puts a document, encrypted to those whom `access` names, into the secret's folder, and makes the
 * links there what `access` says. New links come before the document and old ones go behind it:
 * whenever a run is killed, nobody can read what no link names. An empty document stands for the
 * one that is there. Errors call it `path`; `up` is store_up().
 */
int access_place(int store_dirfd, int secret_dirfd, const char *path, const char *up,
		 const struct access *access, struct span document, struct error *err);

/* Looks where those that are in both lead to. `*astray`: the first that leads to somebody else or
 * nowhere, "users/bob", which the caller frees; else it stays NULL. */
int access_links_check(int secret_dirfd, const char *up, const struct access *is,
		       const struct access *wanted, char **astray, struct error *err);

/* Makes one link in the folder `dirfd` of the secret, or makes it right. */
int access_link_write(int secret_dirfd, int dirfd, const char *up, enum vars_member_type type,
		      const char *name, struct error *err);

/* Whether the secret of that name in sops/secrets is a machine's own key: then the machine's name
 * is what is left of it. */
bool store_machine_key_cut(char *secret);

#endif
