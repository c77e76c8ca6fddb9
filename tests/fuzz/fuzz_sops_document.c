/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOPS documents: JSON, metadata, the wrapped data key, values. A document that opens can be
 * printed, sealed and opened again; one that fails yields no value.
 */
#include <stdlib.h>

#include "sops/sops.h"

#define IDENTITY "AGE-SECRET-KEY-1W0QDHEV47ZQKUXYJL2UJ97P7GNXR7ZWMMKZ7V4MK0QYVWM45CF4Q7V54DR"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void json_write(struct sops_document *document, struct secret *out)
{
	_cleanup_error_ struct error err = {0};

	if (sops_document_write(document, sops_store_named("json"), NULL, out, &err) < 0)
		abort();
}

/* Reads and opens a document. Returns whether it succeeded. */
static bool open_document(struct span data, const struct sops_keyring *keyring,
			  struct sops_document **document)
{
	_cleanup_secret_ struct secret text = {0};
	_cleanup_error_ struct error err = {0};
	_cleanup_secret_ struct secret out = {0};

	if (secret_copy(&text, data, &err) < 0)
		abort();
	if (sops_document_read(sops_store_named("json"), &text, "fuzz", document, &err) < 0) {
		if (*document)
			abort();
		return false;
	}
	if (sops_document_decrypt(*document, keyring, 0, &err) == 0)
		return true;
	error_clear(&err);
	/* A document that cannot be decrypted gives no value. */
	if (sops_document_extract(*document, "[\"data\"]", sops_store_named("json"), NULL, &out,
				  &err) == 0 ||
	    sops_document_reencrypt(*document, &err) == 0)
		abort();
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct age_identities identities;
	const struct sops_keyring keyring = {.identities = &identities};
	_cleanup_sops_document_ struct sops_document *document = NULL, *again = NULL;
	_cleanup_secret_ struct secret plain = {0}, sealed = {0}, second = {0};
	_cleanup_error_ struct error err = {0};

	if (identities.count == 0 &&
	    age_identities_add(&identities, span_of_text(IDENTITY), &err) < 0)
		abort();
	if (!open_document(span_of(data, size), &keyring, &document))
		return 0;
	json_write(document, &plain);
	/* Encrypted under its own key: it can be decrypted again, to the same values. */
	if (sops_document_reencrypt(document, &err) < 0)
		abort();
	json_write(document, &sealed);
	if (!open_document(secret_span(&sealed), &keyring, &again))
		abort();
	json_write(again, &second);
	if (!span_equal(secret_span(&plain), secret_span(&second)))
		abort();
	return 0;
}
