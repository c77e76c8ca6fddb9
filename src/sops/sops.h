/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SOPS documents: a tree of values, each encrypted with AES-256-GCM under one data key, which the
 * document holds wrapped with age for each of its recipients, and a MAC over all plaintext values
 * in their order. The specification is what the program sops 3.13 does; JSON documents are
 * implemented, and with them its store for binary files, which is a JSON document with the one key
 * "data".
 *
 * A document is untrusted. No value can be read from it before every value's tag and the document's
 * MAC have been verified. What is not supported (a type of key, a rule) is an error that names it,
 * and never something that is skipped, unless another key opens the document.
 *
 * A document keeps its text in secret memory and decrypts it in place: one mapping, whatever the
 * number of values. Spans that it returns point there and live as long as it does. Every error
 * names the document by the name that was given to sops_document_parse(), and the value by its
 * keys.
 */
#ifndef VMCRED_SOPS_SOPS_H
#define VMCRED_SOPS_SOPS_H

#include "age/age.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

/* The key under which the binary store keeps its value. */
#define SOPS_BINARY_KEY "data"

struct sops_document;

#define _cleanup_sops_document_ __attribute__((cleanup(sops_document_destroy)))

/*
 * Parses an encrypted JSON document; the text is copied. `what` names it in errors. VMCRED_FAILED:
 * it is not JSON, not a SOPS document, or uses what is not supported. The caller destroys it.
 */
int sops_document_parse(struct span text, const char *what, struct sops_document **document,
			struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void sops_document_destroy(struct sops_document **document);

/* The number of age recipients, and their public keys as the document spells them. */
size_t sops_document_recipient_count(const struct sops_document *document);
struct span sops_document_recipient(const struct sops_document *document, size_t index);

/*
 * Decrypts all values and verifies the MAC, once. VMCRED_MISSING: no identity opens it (the error
 * lists the document's recipients and the identities' public keys). VMCRED_INTEGRITY: a tag or the
 * MAC does not match. After a failure nothing can be read from it.
 */
int sops_document_decrypt(struct sops_document *document, const struct age_identities *identities,
			  struct error *err);

/*
 * The string under a key at the top of a decrypted document. VMCRED_MISSING: there is no such key.
 * VMCRED_FAILED: it holds something else than a string.
 */
int sops_document_value(const struct sops_document *document, const char *key, struct span *value,
			struct error *err);

/* Adds the decrypted document as JSON to `out`, byte for byte as `sops decrypt` prints it. */
int sops_document_emit(const struct sops_document *document, struct secret *out, struct error *err);

/*
 * Adds to `document` what `sops encrypt --input-type binary --output-type json` makes of the bytes,
 * which may be any, also none: a new data key, wrapped for each recipient.
 */
int sops_binary_encrypt(struct span plaintext, const struct age_recipients *recipients,
			struct secret *document, struct error *err);

/*
 * The reverse: parses, decrypts and verifies a document and adds its bytes to `plaintext`. `what`
 * names it in errors, which are those of the three steps.
 */
int sops_binary_decrypt(struct span document, const char *what,
			const struct age_identities *identities, struct secret *plaintext,
			struct error *err);

#endif
