/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in kinds. Each creates one file of a generator, and some also its public half, without
 * a shell, a process or plaintext outside secret memory. A kind is a function and a row in
 * builtin.c.
 */
#ifndef VMCRED_VARS_BUILTIN_BUILTIN_H
#define VMCRED_VARS_BUILTIN_BUILTIN_H

#include "vars/generator.h"

struct kind_task {
	const struct config_generator *generator;
	const struct config_file *file; /* to create */
	const struct inputs *inputs;
	const struct value *values; /* of the generator; earlier kinds have created theirs */
};

/* Appends the file's content to `content`, and the public half, if it has one, to `public_half`. */
typedef int (*kind_fn)(const struct kind_task *task, struct secret *content,
		       struct secret *public_half, struct error *err);

/* Creates all files with a kind, and their public halves. */
int builtin_run(const struct config_generator *generator, const struct inputs *inputs,
		struct value *values, struct error *err);

/* base64, base64url, hex, alphanumeric, pin, uuid, machine-id */
int kind_random_make(const struct kind_task *task, struct secret *content,
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

/* The generator's only file that is a certificate authority's key, or NULL. */
const struct config_file *kind_tls_authority(const struct config_generator *generator);

/* A number below `limit`, uniformly distributed. */
int random_below(uint32_t limit, uint32_t *number, struct error *err);

/* Appends random bytes in Base64 for URLs (RFC 4648, section 5), without padding. */
int random_append_base64url(size_t size, struct secret *out, struct error *err);

#endif
