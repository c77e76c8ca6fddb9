/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: a writer into secret memory, for documents that contain secrets (a VMM's API body, a value
 * of a SOPS document), and a parser for public documents. The parser is jansson, which keeps its
 * text in ordinary heap memory and therefore never gets a plaintext secret.
 */
#ifndef VMCRED_BASE_JSON_H
#define VMCRED_BASE_JSON_H

#include <jansson.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

static inline void cleanup_json(json_t **value)
{
	json_decref(*value);
}

#define _cleanup_json_ __attribute__((cleanup(cleanup_json)))

/*
 * Adds `text` to `out` as a JSON string with its quotes, escaping only what RFC 8259, section 7
 * requires. The text may contain NUL. VMCRED_FAILED: it is not UTF-8.
 */
int json_append_string(struct secret *out, struct span text, struct error *err);

/* Adds a public value to `out`; `flags` are jansson's, such as JSON_COMPACT or JSON_INDENT(2). */
int json_append_value(struct secret *out, const json_t *value, size_t flags, struct error *err);

/* Parses text; `what` names it. Duplicate keys and anything after the document are errors. */
int json_parse(struct span text, const char *what, json_t **value, struct error *err);

#endif
