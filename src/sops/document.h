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
	/* The decrypted nodes before the first change. Their texts are in the memory of `tree`. */
	struct sops_tree before;
	struct sops_tree metadata_tree; /* as read; only keeps the memory of its texts */
	struct sops_metadata metadata;
	struct secret data_key; /* empty while unknown */
	enum {
		SOPS_SEALED,
		SOPS_OPEN,
		SOPS_BROKEN
	} state;
	enum sops_failure failure;
	bool keeps_time;                    /* the next MAC does not stand for new values */
	bool resealed;                      /* the values were encrypted here: they must decrypt */
	size_t comments_kept, comment_kept; /* not decrypted: how many, and the first one's node */
};

/* Wipes decrypted values and makes the document unreadable. */
void sops_document_break(struct sops_document *document);

/* VMCRED_FAILED unless the document is open. */
int sops_document_open_check(const struct sops_document *document, struct error *err);

/* Remembers the nodes for sops_document_seal(), before the first change. */
int sops_document_remember(struct sops_document *document, struct error *err);

/* encrypt.c: encrypts the values and computes the MAC. `reuse_nonces`: the data key has not
 * changed. `strict`: the rule is new and must be valid. */
int sops_document_seal(struct sops_document *document, bool reuse_nonces, bool strict,
		       struct error *err);

/* comments.c: encrypts the comments of a sealed document with the paths that they have in `text`,
 * which was written from it. Returns 1 if it must be written again, 0 if nothing changed. */
int sops_document_comments_settle(struct sops_document *document, const struct sops_store *store,
				  struct span text, struct error *err);

/* decrypt.c: checks that `text`, which was written from a sealed document, decrypts to the same
 * values. VMCRED_FAILED: the store reads a key or a value as another one. */
int sops_document_text_check(struct sops_document *document, const struct sops_store *store,
			     struct span text, struct error *err);

#endif
