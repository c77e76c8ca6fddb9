/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_CLI_VMCRED_SOPS_ENCRYPT_H
#define VMCRED_CLI_VMCRED_SOPS_ENCRYPT_H

#include "cli/vmcred-sops/files.h"

/* Whether plaintext can be encrypted: not empty (exit code 92), not encrypted already (203). */
int encrypt_check(struct sops_call *call, const struct sops_file *file,
		  const struct sops_document *document, struct error *err);

/* Reads a file and encrypts it. The caller destroys the document. */
int encrypt_seal(struct sops_call *call, const struct sops_file *file,
		 const struct sops_policy *policy, struct sops_document **document,
		 struct error *err);

#endif
