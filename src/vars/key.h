/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcrypto's keys as the files that programs read. Nothing but libcrypto's own structures and
 * `struct secret` ever holds a private key. Inside vars/ only.
 */
#ifndef VMCRED_VARS_KEY_H
#define VMCRED_VARS_KEY_H

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

/* Sets the error for a call to libcrypto that failed, and empties libcrypto's list of errors. */
int key_failed(struct error *err, const char *what);

/* Adds "-----BEGIN label-----", the bytes in Base64 with `columns` a line, and the end. */
int pem_append(const char *label, struct span bytes, size_t columns, struct secret *out,
	       struct error *err);

/* Finds the first block with the label and adds its bytes. VMCRED_FAILED: there is none. */
int pem_read(struct span text, const char *label, struct secret *bytes, struct error *err);

/* Adds a private key as PKCS #8 (RFC 5958), a public one as SubjectPublicKeyInfo, in PEM. */
int key_private_pem(const EVP_PKEY *key, struct secret *out, struct error *err);
int key_public_pem(const EVP_PKEY *key, struct secret *out, struct error *err);

/* The reverse; the caller frees the key with EVP_PKEY_free(). */
int key_private_read(struct span text, EVP_PKEY **key, struct error *err);

/* A certificate in PEM, and back; the caller frees it with X509_free(). */
int certificate_pem(const X509 *certificate, struct secret *out, struct error *err);
int certificate_read(struct span text, X509 **certificate, struct error *err);

#endif
