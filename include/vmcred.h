/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvmcred: read secrets from SOPS documents and turn them into SMBIOS OEM strings.
 *
 * Every function that can fail returns 0, or a negative `enum vmcred_code`, and then stores an
 * error object through its last parameter. The caller owns what it receives and gives it back to
 * the matching `_free` function, which accepts NULL. Secrets are held in locked memory that is left
 * out of core dumps and wiped before it is released. The library keeps no global state and prints
 * nothing.
 */
#ifndef VMCRED_H
#define VMCRED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMCRED_PUBLIC __attribute__((visibility("default")))

/* What went wrong, as a class. The program's exit codes are the same numbers. */
enum vmcred_code {
	VMCRED_OK = 0,
	VMCRED_FAILED = 1,    /* the system or an input refused */
	VMCRED_USAGE = 2,     /* the caller's words or the declaration are wrong */
	VMCRED_MISSING = 3,   /* something declared is not there */
	VMCRED_INTEGRITY = 4, /* a MAC, a tag or a digest does not match */
};

struct vmcred_error;
struct vmcred_secret;

/* The library's version, such as "0.1.0". */
VMCRED_PUBLIC const char *vmcred_version(void);

/* The error's class, never VMCRED_OK. */
VMCRED_PUBLIC enum vmcred_code vmcred_error_code(const struct vmcred_error *error);
/* One line of text without a secret in it. Valid until the error is freed. */
VMCRED_PUBLIC const char *vmcred_error_message(const struct vmcred_error *error);
VMCRED_PUBLIC void vmcred_error_free(struct vmcred_error *error);

/* The secret's bytes; they are not NUL-terminated. Valid until the secret is freed. */
VMCRED_PUBLIC const uint8_t *vmcred_secret_data(const struct vmcred_secret *secret);
VMCRED_PUBLIC size_t vmcred_secret_size(const struct vmcred_secret *secret);
VMCRED_PUBLIC void vmcred_secret_free(struct vmcred_secret *secret);

/*
 * Decrypts the value of a binary SOPS document (JSON with one key, `data`) with an age identity
 * file and verifies the document's MAC. VMCRED_MISSING: no identity in the file opens it.
 * VMCRED_INTEGRITY: it was changed after it was written.
 */
VMCRED_PUBLIC int vmcred_sops_decrypt_file(const char *document_path, const char *identity_path,
					   struct vmcred_secret **value,
					   struct vmcred_error **error);

/*
 * The SMBIOS Type 11 OEM string that hands a credential to the guest's systemd: text as
 * `io.systemd.credential:NAME=VALUE`, anything that text cannot carry as `.binary:` with Base64.
 * VMCRED_USAGE: the name is not one that systemd accepts, or the value is over 1 MiB. Source:
 * systemd(1), "System credentials".
 */
VMCRED_PUBLIC int vmcred_oem_string_create(const char *name, const void *value, size_t size,
					   struct vmcred_secret **oem_string,
					   struct vmcred_error **error);

#ifdef __cplusplus
}
#endif

#endif
