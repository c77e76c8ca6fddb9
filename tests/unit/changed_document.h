/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a document that was changed by somebody who has no key. */
#ifndef VMCRED_TESTS_CHANGED_DOCUMENT_H
#define VMCRED_TESTS_CHANGED_DOCUMENT_H

#include "unit.h"

#include "sops/sops.h"

/* The decrypted document, which the caller destroys; NULL where it is refused, with an error. */
static inline struct sops_document *changed_document_open(const struct sops_store *store,
							  const struct sops_keyring *keyring,
							  struct span text)
{
	struct sops_document *document = NULL;
	struct secret copy = {0};
	struct error err = {0};
	int r = secret_copy(&copy, text, &err);

	if (r == 0)
		r = sops_document_read(store, &copy, "file", &document, &err);
	secret_destroy(&copy);
	if (r == 0)
		r = sops_document_decrypt(document, keyring, 0, &err);
	if (r == 0)
		return document;
	assert_non_null(err.text);
	error_clear(&err);
	sops_document_destroy(&document);
	return NULL;
}

#endif
