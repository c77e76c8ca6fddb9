/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the store is as declared, and correcting it. Nothing needs to be decrypted to find out: a
 * document's recipients are readable. Fixing encrypts only the data key again, as `sops updatekeys`
 * does; `generate` replaces outdated values.
 */
#ifndef VMCRED_VARS_CHECK_CHECK_H
#define VMCRED_VARS_CHECK_CHECK_H

#include "vars/vars.h"

/* The SHA-256 of the generator's `validation` in hexadecimal, as in clan; "" for none. */
#define VALIDATION_HASH_SIZE 65
int validation_hash(const struct config_generator *generator, char hash[VALIDATION_HASH_SIZE],
		    struct error *err);

/* Whether `validation` has changed since the generator's files were created: 1, 0, or a negative
 * code. */
int validation_changed(int store_dirfd, const char *machine,
		       const struct config_generator *generator, struct error *err);

/*
 * After a file was set by hand: stores the hash of `validation` if it was the generator's only
 * file, or if all files exist and there is no hash. Without it, the next run would replace the
 * value.
 */
int validation_settle(int store_dirfd, const char *machine,
		      const struct config_generator *generator, struct error *err);

/*
 * Whether the file is a certificate of the kind tls that must be renewed: it has expired or will
 * soon, or its authority has a new certificate. Returns 1 and the reason in `*detail`, which the
 * caller frees, 0, or a negative code. Missing and secret files are not checked.
 */
int certificate_check(const struct config *config, int store_dirfd,
		      const struct vars_location *location, char **detail, struct error *err);

/* Whether a secret's document is older than the generator's rotateAfter, or dated in the future.
 * Returns 1 and the reason in `*detail`, which the caller frees, 0, or a negative code. */
int rotation_check(const struct config_generator *generator, const struct sops_document *document,
		   char **detail, struct error *err);

/* The same for one of a generator's stored secrets. A missing one is not overdue. */
int generator_rotation_check(int store_dirfd, const char *machine,
			     const struct config_generator *generator, char **detail,
			     struct error *err);

/* When a public file that is a certificate in PEM expires, in seconds since 1970; else 0. */
int64_t certificate_end(struct span text);

/*
 * The user's keys in a run over many documents, loaded when the first must be opened. Starts as
 * {.identities = …, .data = …}. An identity, or gpg's key, may have a passphrase: until a first
 * document is open, the calling thread works alone, so that the user is asked once; with the key of
 * a plugin, always.
 */
struct opener {
	vars_identities_fn identities;
	void *data;
	struct sops_keyring keyring; /* set by opener_load() */
	bool is_loaded;
	bool is_open; /* the caller's: it has opened a document */
	bool has_plugin;
};

/* Before a document is opened, which may have PGP recipients only. */
int opener_load(struct opener *opener, bool has_pgp, struct error *err);

/* As pool_run_watched(). `opens`: the work may open documents. */
void opener_run(const struct opener *opener, bool opens, size_t count,
		void (*work)(void *context, size_t index),
		void (*watch)(void *context, size_t done), void *context);

#endif
