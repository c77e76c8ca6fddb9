/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generator's `validation`: when what the declaration says there changes, the files are made
 * anew. The store keeps its hash, which is that of the value as Nix's builtins.toJSON prints it.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/merge_conflict.h"
#include "vars/store.h"

#define DIGEST_SIZE 32

/* A hash; there is room for what should not be there, to say what it is. */
#define HASH_FILE_SIZE_MAX ((size_t)4096)

int vars_validation_hash(const struct config_generator *generator, char hash[VARS_HASH_SIZE],
			 struct error *err)
{
	const char *text = generator->validation;
	uint8_t digest[DIGEST_SIZE];

	hash[0] = '\0';
	if (!text)
		return 0;
	if (EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) != 1) {
		ERR_clear_error();
		return error_set(err, VMCRED_FAILED, "libcrypto failed to hash");
	}
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hash + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

/* The hash that is in the store for the generator; "" for none. */
static int stored_hash_read(int store_dirfd, const char *machine,
			    const struct config_generator *generator, char hash[VARS_HASH_SIZE],
			    struct error *err)
{
	_cleanup_free_ char *folder = store_generators_path(machine), *path = NULL, *text = NULL;
	size_t size = 0;
	int r;

	hash[0] = '\0';
	if (!folder || asprintf(&path, "%s/%s/" STORE_HASH_NAME, folder, generator->name) < 0) {
		path = NULL;
		return error_no_memory(err);
	}
	r = file_read_text(store_dirfd, path, HASH_FILE_SIZE_MAX, &text, &size, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return 0;
	}
	if (r == 0)
		r = merge_conflict_check(span_of(text, size), path, err);
	if (r < 0)
		return r;
	while (size > 0 && strchr("\r\n ", text[size - 1]))
		size--;
	if (size >= VARS_HASH_SIZE) {
		error_set(err, VMCRED_FAILED, "%s is no hash", path);
		return error_hint(err, "remove it: the files are made anew");
	}
	memcpy(hash, text, size);
	hash[size] = '\0';
	return 0;
}

/* A store without a hash is as a generator without a `validation` wants it: so has clan it. */
int vars_validation_changed(int store_dirfd, const char *machine,
			    const struct config_generator *generator, struct error *err)
{
	char declared[VARS_HASH_SIZE] = "", stored[VARS_HASH_SIZE] = "";
	int r = vars_validation_hash(generator, declared, err);

	if (r == 0)
		r = stored_hash_read(store_dirfd, machine, generator, stored, err);
	return r < 0 ? r : strcmp(declared, stored) != 0;
}
