/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates of libcrypto in PEM. Private keys are only in libcrypto's structures and in
 * `struct secret`.
 */
#ifndef VMCRED_VARS_BUILTIN_PEM_H
#define VMCRED_VARS_BUILTIN_PEM_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

static inline void cleanup_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static inline void cleanup_certificate(X509 **certificate)
{
	X509_free(*certificate);
}

#define _cleanup_key_         __attribute__((cleanup(cleanup_key)))
#define _cleanup_certificate_ __attribute__((cleanup(cleanup_certificate)))

/* Sets the error for a failed call, and clears libcrypto's queue of errors. */
int key_failed(struct error *err, const char *what);

/* Appends "-----BEGIN label-----", the bytes in Base64 with `columns` a line, and the end. */
int pem_append(const char *label, struct span bytes, size_t columns, struct secret *out,
	       struct error *err);

/* Appends a private key as PKCS #8 (RFC 5958), a public one as SubjectPublicKeyInfo, in PEM. */
int key_private_pem(const EVP_PKEY *key, struct secret *out, struct error *err);
int key_public_pem(const EVP_PKEY *key, struct secret *out, struct error *err);

/* Reads a private key; the caller frees the key with EVP_PKEY_free(). */
int key_private_read(struct span text, EVP_PKEY **key, struct error *err);

/* Appends a certificate; reads one, which the caller frees with X509_free(). */
int certificate_pem(const X509 *certificate, struct secret *out, struct error *err);
int certificate_read(struct span text, X509 **certificate, struct error *err);

#endif
