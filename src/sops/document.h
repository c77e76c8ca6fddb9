/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_SOPS_DOCUMENT_H
#define VMCRED_SOPS_DOCUMENT_H

#include "sops/keys/key.h"
#include "sops/metadata.h"
#include "sops/sops.h"
#include "sops/tree/tree.h"

struct sops_document {
	char *name; /* owned; for errors */
	struct sops_tree tree;
	/* The nodes as they were decrypted, once the document was edited. Their texts lie in the
	 * memory of `tree`. */
	struct sops_tree before;
	struct sops_tree metadata_tree; /* as it was read; keeps memory alone */
	struct sops_metadata metadata;
	struct secret data_key; /* empty while it is not known */
	enum {
		SOPS_SEALED,
		SOPS_OPEN,
		SOPS_BROKEN
	} state;
	enum sops_failure failure;
};

/* Wipes what was decrypted, and says that nothing can be read any more. */
void sops_document_break(struct sops_document *document);

/* VMCRED_FAILED unless the document is open. */
int sops_document_open_check(const struct sops_document *document, struct error *err);

/* Keeps the nodes as they are for sops_document_seal(), before the first change. */
int sops_document_remember(struct sops_document *document, struct error *err);

/* encrypt.c: encrypts the values and makes a new MAC. `reuse_nonces`: the data key is the one that
 * they were encrypted with before. `strict`: the rule is new, and must be valid. */
int sops_document_seal(struct sops_document *document, bool reuse_nonces, bool strict,
		       struct error *err);

#endif
