/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON store. A reader of its own, because SOPS needs what JSON libraries drop: the order of
 * keys, a key that stands twice, the exact text of a number; and because it works in place in
 * secret memory, so that a document costs no copies and a plaintext document could be read without
 * one on the ordinary heap. And a writer that sets white space and escapes exactly as sops does.
 */
#ifndef VMCRED_SOPS_JSON_H
#define VMCRED_SOPS_JSON_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"
#include "sops/tree.h"

/*
 * Parses a document whose root is a map (RFC 8259; nothing behind it). Strings are decoded in
 * place: the tree points into `text`, which must stay where it is.
 */
int sops_json_parse(struct secret *text, const char *what, struct sops_tree *tree,
		    struct error *err);

/* Starts as {.out = …}. */
struct sops_json_writer {
	struct secret *out;
	size_t depth;
	bool started; /* something was written in the innermost container */
};

/* Each takes the key of the new item, or an empty span with data NULL in a list and for the root.
 */
int sops_json_open(struct sops_json_writer *writer, struct span key, char bracket,
		   struct error *err);
int sops_json_close(struct sops_json_writer *writer, char bracket, struct error *err);
int sops_json_string(struct sops_json_writer *writer, struct span key, struct span text,
		     struct error *err);
/* Writes the text as it is: a number, true, false, null. */
int sops_json_literal(struct sops_json_writer *writer, struct span key, struct span text,
		      struct error *err);

#endif
