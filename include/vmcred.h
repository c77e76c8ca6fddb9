/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvmcred: read secrets from SOPS documents and turn them into SMBIOS OEM strings.
 *
 * Every function that can fail returns 0, or a negative `enum vmcred_code`, and then stores an
 * error object through its last parameter. The caller owns each object and releases it with the
 * matching `_free` function, which accepts NULL. Secrets are stored in locked memory that is
 * excluded from core dumps and wiped before it is released. The library has no global state and
 * prints nothing.
 */
#ifndef VMCRED_H
#define VMCRED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VMCRED_PUBLIC __attribute__((visibility("default")))

/* Classes of errors. The programs exit with the same numbers. */
enum vmcred_code {
	VMCRED_OK = 0,
	VMCRED_FAILED = 1,    /* a system call or an input failed */
	VMCRED_USAGE = 2,     /* wrong arguments or a wrong declaration */
	VMCRED_MISSING = 3,   /* something declared is missing */
	VMCRED_INTEGRITY = 4, /* a MAC, a tag or a digest does not match */
};

struct vmcred_error;
struct vmcred_secret;

/* The library's version, such as "0.1.0". */
VMCRED_PUBLIC const char *vmcred_version(void);

/* The error's class, never VMCRED_OK. */
VMCRED_PUBLIC enum vmcred_code vmcred_error_code(const struct vmcred_error *error);
/* One line of text that contains no secret. Valid until the error is freed. */
VMCRED_PUBLIC const char *vmcred_error_message(const struct vmcred_error *error);
VMCRED_PUBLIC void vmcred_error_free(struct vmcred_error *error);

/* The secret's bytes; they are not NUL-terminated. Valid until the secret is freed. */
VMCRED_PUBLIC const uint8_t *vmcred_secret_data(const struct vmcred_secret *secret);
VMCRED_PUBLIC size_t vmcred_secret_size(const struct vmcred_secret *secret);
VMCRED_PUBLIC void vmcred_secret_free(struct vmcred_secret *secret);

/*
 * Decrypts the value of a binary SOPS document (JSON with one key, `data`) with an age identity
 * file and verifies the document's MAC. VMCRED_MISSING: no identity in the file opens it.
 * VMCRED_INTEGRITY: the document was modified.
 */
VMCRED_PUBLIC int vmcred_sops_decrypt_file(const char *document_path, const char *identity_path,
					   struct vmcred_secret **value,
					   struct vmcred_error **error);

/*
 * The SMBIOS Type 11 OEM string that passes a credential to the guest's systemd:
 * `io.systemd.credential:NAME=VALUE` for text, `io.systemd.credential.binary:` with Base64 for
 * anything else. VMCRED_USAGE: systemd does not accept the name, or the value is over 1 MiB. See
 * systemd(1), "System credentials".
 */
VMCRED_PUBLIC int vmcred_oem_string_create(const char *name, const void *value, size_t size,
					   struct vmcred_secret **oem_string,
					   struct vmcred_error **error);

#ifdef __cplusplus
}
#endif

#endif
