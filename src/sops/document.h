/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_SOPS_DOCUMENT_H
#define VMCRED_SOPS_DOCUMENT_H

#include "sops/metadata.h"
#include "sops/sops.h"
#include "sops/tree.h"

struct sops_document {
	char *name; /* owned; for errors */
	struct sops_tree tree;
	struct sops_tree metadata_tree; /* its texts lie in the memory of `tree` */
	struct sops_metadata metadata;
	enum {
		SOPS_SEALED,
		SOPS_OPEN,
		SOPS_BROKEN
	} state;
};

/* data_key.c: the data key, unwrapped with one of the identities. */
int sops_data_key_unwrap(const struct sops_document *document,
			 const struct age_identities *identities, struct secret *data_key,
			 struct error *err);

/* data_key.c: adds a recipient and the data key, wrapped for it, as an armored age file. */
int sops_data_key_wrap(struct span data_key, const struct age_recipients *recipients, size_t index,
		       struct secret *enc, struct error *err);

#endif
