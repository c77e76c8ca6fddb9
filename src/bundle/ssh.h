/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH signatures (PROTOCOL.sshsig of OpenSSH), made and checked by ssh-keygen(1): it knows agents,
 * security keys, certificates and validity, and people can check the result by hand. Inside bundle/
 * only.
 */
#ifndef VMCRED_BUNDLE_SSH_H
#define VMCRED_BUNDLE_SSH_H

#include "base/error.h"
#include "base/span.h"

#define SSH_NAMESPACE "vmcred-bundle"

/* Signs with a private key, or a public key whose private half an agent has. ssh-keygen may ask for
 * a passphrase. The caller frees `*signature`. */
int ssh_sign(const char *key, struct span message, char **signature, struct error *err);

/* Checks a signature with a file of allowed signers. The caller frees `*signer`, a principal of the
 * signer. VMCRED_INTEGRITY: it is not valid, or not by one of them. */
int ssh_verify(const char *allowed_signers, struct span message, struct span signature,
	       char **signer, struct error *err);

#endif
