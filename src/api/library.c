/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvmcred's public functions: thin wrappers whose errors and secrets are objects that the caller
 * frees. The contract is include/vmcred.h.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "age/age.h"
#include "base/error.h"
#include "base/file.h"
#include "base/secret.h"
#include "oem/oem.h"
#include "sops/sops.h"
#include "vars/vars.h"

struct vmcred_error {
	enum vmcred_code code;
	char *message; /* owned; NULL without memory */
};

struct vmcred_secret {
	struct secret secret;
};

enum vmcred_code vmcred_error_code(const struct vmcred_error *error)
{
	return error ? error->code : VMCRED_FAILED;
}

const char *vmcred_error_message(const struct vmcred_error *error)
{
	return error && error->message ? error->message : "out of memory";
}

void vmcred_error_free(struct vmcred_error *error)
{
	if (error)
		free(error->message);
	free(error);
}

const uint8_t *vmcred_secret_data(const struct vmcred_secret *secret)
{
	return secret->secret.data;
}

size_t vmcred_secret_size(const struct vmcred_secret *secret)
{
	return secret->secret.size;
}

void vmcred_secret_free(struct vmcred_secret *secret)
{
	if (secret)
		secret_destroy(&secret->secret);
	free(secret);
}

/* Returns the secret on success and the error on failure. */
static int result_give(int r, struct secret *from, struct vmcred_secret **secret, struct error *err,
		       struct vmcred_error **error)
{
	struct vmcred_secret *given = NULL;

	*secret = NULL;
	*error = NULL;
	if (r == 0) {
		given = calloc(1, sizeof(*given));
		if (!given)
			r = error_no_memory(err);
	}
	if (r < 0) {
		secret_destroy(from);
		/* Without memory there is no object; the functions above accept NULL. */
		*error = calloc(1, sizeof(**error));
		if (*error)
			**error = (struct vmcred_error){.code = err->code,
							.message = error_line(err)};
		return r;
	}
	secret_move(&given->secret, from);
	*secret = given;
	return 0;
}

static int document_decrypt(const char *document_path, const char *identity_path,
			    struct secret *value, struct error *err)
{
	_cleanup_age_identities_ struct age_identities identities = {0};
	const struct sops_keyring keyring = {.identities = &identities};
	_cleanup_secret_ struct secret text = {0};
	int r = age_identity_file_load(AT_FDCWD, identity_path, &identities, err);

	if (r == 0)
		r = file_read_secret(AT_FDCWD, document_path, VARS_DOCUMENT_SIZE_MAX, &text, err);
	return r < 0 ? r
		     : sops_binary_decrypt(secret_span(&text), document_path, NULL, &keyring, value,
					   err);
}

int vmcred_sops_decrypt_file(const char *document_path, const char *identity_path,
			     struct vmcred_secret **value, struct vmcred_error **error)
{
	_cleanup_error_ struct error err = {0};
	struct secret plaintext = {0};
	int r = document_decrypt(document_path, identity_path, &plaintext, &err);

	return result_give(r, &plaintext, value, &err, error);
}

int vmcred_oem_string_create(const char *name, const void *value, size_t size,
			     struct vmcred_secret **oem_string, struct vmcred_error **error)
{
	_cleanup_error_ struct error err = {0};
	enum oem_encoding encoding;
	struct secret text = {0};
	int r = oem_string_encode(name, span_of(value, size), &text, &encoding, &err);

	return result_give(r, &text, oem_string, &err, error);
}
