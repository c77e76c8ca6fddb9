/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOPS documents: JSON, metadata, the wrapped data key, values. What opens must print, and no
 * document that failed may give a value.
 */
#include <stdlib.h>

#include "sops/sops.h"

#define IDENTITY "AGE-SECRET-KEY-1W0QDHEV47ZQKUXYJL2UJ97P7GNXR7ZWMMKZ7V4MK0QYVWM45CF4Q7V54DR"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct age_identities identities;
	_cleanup_sops_document_ struct sops_document *document = NULL;
	_cleanup_secret_ struct secret text = {0}, out = {0};
	_cleanup_error_ struct error err = {0};
	struct span value;

	if (identities.count == 0 &&
	    age_identities_add(&identities, span_of_text(IDENTITY), &err) < 0)
		abort();
	if (secret_copy(&text, span_of(data, size), &err) < 0)
		abort();
	if (sops_document_read(sops_store_named("json"), &text, "fuzz", &document, &err) < 0) {
		if (document)
			abort();
		return 0;
	}
	if (sops_document_decrypt(document, &(const struct sops_keyring){.identities = &identities},
				  0, &err) < 0) {
		if (sops_document_value(document, SOPS_BINARY_KEY, &value, &err) == 0 ||
		    sops_document_write(document, sops_store_named("json"), NULL, &out, &err) == 0)
			abort();
		return 0;
	}
	if (sops_document_write(document, sops_store_named("json"), NULL, &out, &err) < 0)
		abort();
	return 0;
}
