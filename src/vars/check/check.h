/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the store is as declared, and correcting it. Nothing is decrypted to find out: a
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
 * Whether the file is a certificate of the kind tls that must be renewed: it has expired or will
 * soon, or its authority has a new certificate. Returns 1 and the reason in `*detail`, which the
 * caller frees, 0, or a negative code. Missing and secret files are not checked.
 */
int certificate_check(const struct config *config, int store_dirfd,
		      const struct vars_location *location, char **detail, struct error *err);

#endif
