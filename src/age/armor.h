/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ASCII armor (C2SP age.md, "ASCII armor"): strict PEM with lines of 64 columns and canonical
 * Base64, which has no room for hidden data. White space before and after it is allowed. The
 * functions work line by line, for texts that do not fit into memory.
 */
#ifndef VMCRED_AGE_ARMOR_H
#define VMCRED_AGE_ARMOR_H

#include "base/error.h"
#include "base/secret.h"
#include "base/span.h"

#define AGE_ARMOR_BEGIN          "-----BEGIN AGE ENCRYPTED FILE-----"
#define AGE_ARMOR_END            "-----END AGE ENCRYPTED FILE-----"
#define AGE_ARMOR_LINE_COLUMNS   64U
#define AGE_ARMOR_LINE_BYTES     48U   /* in a full line */
#define AGE_ARMOR_WHITESPACE_MAX 1024U /* age's limit on either side */

/* No line of a valid text is longer, white space included. */
#define AGE_ARMOR_LINE_MAX (AGE_ARMOR_WHITESPACE_MAX + AGE_ARMOR_LINE_COLUMNS)

/* Starts as {0}. */
struct age_armor_decoder {
	enum {
		AGE_ARMOR_BEFORE,
		AGE_ARMOR_INSIDE,
		AGE_ARMOR_AFTER
	} place;
	size_t whitespace;  /* so far, on this side */
	bool is_short_line; /* the last one was */
};

/* Decodes a line, without its newline, and adds the bytes to `file`. */
int age_armor_decode_line(struct age_armor_decoder *decoder, struct span line, struct secret *file,
			  struct error *err);

/* Call it after the last line. VMCRED_FAILED: the text is truncated. */
int age_armor_decode_end(const struct age_armor_decoder *decoder, struct error *err);

/* Adds lines without the first and the last one of the armor. The size of `part` is a multiple of
 * AGE_ARMOR_LINE_BYTES, except at the end of the file. */
int age_armor_encode_lines(struct span part, struct secret *text, struct error *err);

#endif
