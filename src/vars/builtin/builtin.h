/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in kinds: each makes one file of a generator, and some its public half too, without a
 * shell, a process or plaintext outside of secret memory. A kind is a function and a row in kind.c.
 * Inside vars/ only.
 */
#ifndef VMCRED_VARS_BUILTIN_BUILTIN_H
#define VMCRED_VARS_BUILTIN_BUILTIN_H

#include "vars/vars.h"

struct kind_task {
	const struct config_generator *generator;
	const struct config_file *file; /* whose kind it is */
	const struct vars_inputs *inputs;
	const struct vars_value *values; /* of the generator; those that were made before */
};

/* Adds the file's content to `content`, and the public half, if it has one, to `public_half`. */
typedef int (*kind_fn)(const struct kind_task *task, struct secret *content,
		       struct secret *public_half, struct error *err);

/* Makes all files that have a kind, and their public halves. */
int kinds_run(const struct config_generator *generator, const struct vars_inputs *inputs,
	      struct vars_value *values, struct error *err);

int kind_base64_make(const struct kind_task *task, struct secret *content,
		     struct secret *public_half, struct error *err);
int kind_base64url_make(const struct kind_task *task, struct secret *content,
			struct secret *public_half, struct error *err);
int kind_hex_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err);
int kind_alphanumeric_make(const struct kind_task *task, struct secret *content,
			   struct secret *public_half, struct error *err);
int kind_pin_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err);
int kind_uuid_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		   struct error *err);
int kind_machine_id_make(const struct kind_task *task, struct secret *content,
			 struct secret *public_half, struct error *err);
int kind_passphrase_make(const struct kind_task *task, struct secret *content,
			 struct secret *public_half, struct error *err);
int kind_password_hash_make(const struct kind_task *task, struct secret *content,
			    struct secret *public_half, struct error *err);
int kind_ssh_key_make(const struct kind_task *task, struct secret *content,
		      struct secret *public_half, struct error *err);
int kind_age_key_make(const struct kind_task *task, struct secret *content,
		      struct secret *public_half, struct error *err);
int kind_wireguard_make(const struct kind_task *task, struct secret *content,
			struct secret *public_half, struct error *err);
int kind_tls_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err);
int kind_jwt_make(const struct kind_task *task, struct secret *content, struct secret *public_half,
		  struct error *err);

/* The generator's file that is an authority's key, or NULL; there is one at most. */
const struct config_file *kind_tls_authority(const struct config_generator *generator);

/* A number below `limit`, each equally likely. */
int random_below(uint32_t limit, uint32_t *number, struct error *err);

#endif
