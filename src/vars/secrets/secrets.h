/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret of the store: its document, its readers, and the difference between its actual and its
 * correct readers. The correct ones are those that the declaration lists (its machines, the default
 * groups or all users) and the users and groups that the secret is linked to in addition. As in
 * clan, readers are links in the secret's directories machines/, users/ and groups/; their names
 * count, and a link that points elsewhere is corrected.
 */
#ifndef VMCRED_VARS_SECRETS_SECRETS_H
#define VMCRED_VARS_SECRETS_SECRETS_H

#include "vars/members/members.h"

/* Starts as {0}. */
struct readers {
	struct strings names[VARS_MEMBER_TYPES]; /* sorted, without duplicates */
};

#define _cleanup_readers_ __attribute__((cleanup(readers_destroy)))

/* From the links of the secret in `secret_dirfd`. */
int readers_read(int secret_dirfd, struct readers *readers, struct error *err);

int readers_add(struct readers *readers, enum vars_member_type type, char *const *names,
		struct error *err);

/* Adds those that the declaration lists: the machines (NULL-terminated; may be NULL), and the
 * default groups or else all users; and `writer`, which may be NULL. */
int readers_add_declared(const struct config *config, struct member_cache *cache,
			 char *const *machines, const char *writer, struct readers *readers,
			 struct error *err);

/* Adds those of `from` that exist. */
int readers_add_existing(const struct readers *from, enum vars_member_type type,
			 struct member_cache *cache, struct readers *to, struct error *err);

/* Adds the users and groups that the secret in `directory` is linked to, if it exists. Only the
 * declaration lists machines. */
int readers_add_linked(int dirfd, const char *directory, struct member_cache *cache,
		       struct readers *readers, struct error *err);

bool readers_are_within(const struct readers *some, const struct readers *all);
bool readers_include(const struct readers *readers, enum vars_member_type type, const char *name);
void readers_destroy(struct readers *readers);

/*
 * The keys of all readers, without duplicates; for groups those of their members. The list is the
 * caller's (readers_keys_release()), the keys in it are the cache's.
 */
int readers_keys(const struct readers *readers, struct member_cache *cache,
		 struct sops_key_group *keys, struct error *err);
void readers_keys_release(struct sops_key_group *keys);

#define _cleanup_readers_keys_ __attribute__((cleanup(readers_keys_release)))

/* For qsort(): pointers to keys, equal ones next to each other and in the order of addresses. */
int readers_keys_order(const void *a, const void *b);

/* Before encrypting: whether gpg knows their PGP keys (member_cache_gpg_check()). */
int readers_gpg_check(const struct readers *readers, struct member_cache *cache, struct error *err);

/*
 * Stores a document that is encrypted to `readers`, and makes the links match them. New links come
 * before the document, old ones are removed after it: if the run is killed, nobody can read it
 * without a link. An empty document stands for the stored one. `path` names it in errors; `up` is
 * store_links_up().
 */
int secret_write(int store_dirfd, int secret_dirfd, const char *path, const char *up,
		 const struct readers *readers, struct span document, struct error *err);

/* Its steps, for many secrets that are synced together. Adds the links to the readers; those in
 * `known` (NULL: none) are correct already. */
int links_add(int secret_dirfd, const char *up, const struct readers *readers,
	      const struct readers *known, bool sync, struct error *err);

/* Removes the links to others. */
int links_remove(int secret_dirfd, const struct readers *readers, struct error *err);

/* Follows the links that are in both sets. `*wrong`, which the caller frees: the first that leads
 * to another member or nowhere, such as "users/bob". */
int links_check(int secret_dirfd, const char *up, const struct readers *actual,
		const struct readers *correct, char **wrong, struct error *err);

/* Starts as STORED_SECRET_NONE. */
struct stored_secret {
	int dirfd;                      /* owned; the secret's directory */
	char *path;                     /* owned; of the document, for errors */
	struct sops_document *document; /* owned; NULL until it is read */
	struct readers actual, correct; /* owned */
	char *wrong_link;               /* owned; links_check() */
	struct sops_key_group keys;     /* of the correct readers; readers_keys() */
	struct strings added, removed;  /* owned; recipients, by stored_secret_compare() */
};

#define STORED_SECRET_NONE  \
	{                   \
		.dirfd = -1 \
	}
#define _cleanup_stored_secret_ __attribute__((cleanup(stored_secret_destroy)))

/* Opens the directory, or with `create` creates it. VMCRED_MISSING: it does not exist. */
int stored_secret_open(int store_dirfd, const struct vars_location *location, bool create,
		       struct stored_secret *stored, struct error *err);

/* Reads the document. VMCRED_MISSING: it does not exist. */
int stored_secret_read(struct stored_secret *stored, struct error *err);

bool stored_secret_has_pgp(const struct stored_secret *stored);

/* Finds the actual and the correct readers. `writer` may be NULL. */
int stored_secret_find_readers(const struct config *config, struct member_cache *cache,
			       const struct vars_location *location, const char *writer,
			       struct stored_secret *stored, struct error *err);

/* Compares them with the links and the document, which may be missing. `*difference` is a text for
 * the user, which the caller frees, or NULL; it names the recipients to add and to remove. */
int stored_secret_compare(struct stored_secret *stored, struct member_cache *cache,
			  char **difference, struct error *err);

/* Closes the directory and the document, which can be opened again, and keeps the rest. */
void stored_secret_close(struct stored_secret *stored);
void stored_secret_destroy(struct stored_secret *stored);

/* Whether the public half of an identity is among the keys. */
bool keys_include_identity(const struct sops_key_group *keys,
			   const struct age_identities *identities);

/* As vars_keyring_load(), if it is known whether the document has PGP recipients. */
int keyring_load(bool has_pgp, vars_identities_fn identities, void *data,
		 struct sops_keyring *keyring, struct error *err);

#endif
