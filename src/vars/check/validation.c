/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generator's `validation`: when the declaration changes it, the files are regenerated. The store
 * has its hash, that of the value as Nix's builtins.toJSON prints it.
 */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/merge_conflict.h"
#include "vars/check/check.h"
#include "vars/store/store.h"

#define DIGEST_SIZE 32

/* More than a hash, so that conflict markers are recognised. */
#define HASH_FILE_SIZE_MAX ((size_t)4096)

int validation_hash(const struct config_generator *generator, char hash[VALIDATION_HASH_SIZE],
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

/* As in clan, no stored hash equals no `validation`. */
int validation_changed(int store_dirfd, const char *machine,
		       const struct config_generator *generator, struct error *err)
{
	_cleanup_free_ char *directory = store_generators_path(machine), *path = NULL, *text = NULL;
	char declared[VALIDATION_HASH_SIZE];
	size_t size = 0;
	int r = validation_hash(generator, declared, err);

	if (r < 0)
		return r;
	path = directory ? text_format("%s/%s/" STORE_HASH_NAME, directory, generator->name) : NULL;
	if (!path)
		return error_no_memory(err);
	r = file_read_text(store_dirfd, path, HASH_FILE_SIZE_MAX, &text, &size, err);
	if (r == -(int)VMCRED_MISSING) {
		error_clear(err);
		return declared[0] != '\0';
	}
	if (r == 0)
		r = merge_conflict_check(span_of(text, size), path, err);
	if (r < 0)
		return r;
	while (size > 0 && strchr("\r\n ", text[size - 1]))
		size--;
	if (size >= VALIDATION_HASH_SIZE) {
		error_set(err, VMCRED_FAILED, "%s is not a hash", path);
		return error_hint(err, "remove it and run `vmcred generate`");
	}
	return !span_equal(span_of_text(declared), span_of(text, size));
}

/* Whether the generator's files are those of one declaration: 1, 0, or a negative code. */
static int is_complete(int store_dirfd, const char *machine,
		       const struct config_generator *generator, bool has_hash, struct error *err)
{
	int r = !has_hash || generator->file_count == 1;

	for (size_t i = 0; r == 1 && i < generator->file_count; i++) {
		const struct vars_location location = {machine, generator, &generator->files[i]};

		r = vars_store_has(store_dirfd, &location, err);
	}
	return r;
}

int validation_settle(int store_dirfd, const char *machine,
		      const struct config_generator *generator, struct error *err)
{
	_cleanup_free_ char *directory = store_generators_path(machine), *path = NULL;
	_cleanup_close_ int dirfd = -1;
	char hash[VALIDATION_HASH_SIZE];
	int r;

	if (!generator->validation)
		return 0;
	path = directory ? text_format("%s/%s/" STORE_HASH_NAME, directory, generator->name) : NULL;
	if (!path)
		return error_no_memory(err);
	r = is_complete(store_dirfd, machine, generator, faccessat(store_dirfd, path, F_OK, 0) == 0,
			err);
	if (r == 1)
		r = validation_hash(generator, hash, err) < 0 ? -(int)err->code : 1;
	if (r <= 0)
		return r;
	*strrchr(path, '/') = '\0';
	dirfd = dir_open(store_dirfd, path, err);
	path[strlen(path)] = '/';
	return dirfd < 0 ? dirfd
			 : store_file_replace(store_dirfd, dirfd, STORE_HASH_NAME, path,
					      span_of_text(hash), err);
}
