/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ASCII armor (C2SP age.md, "ASCII armor"): PEM in its one strict form, with lines of 64 columns
 * and canonical Base64, so that nothing can hide in it. White space may stand before and behind.
 * Line by line, so that a text need not fit into memory.
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
#define AGE_ARMOR_WHITESPACE_MAX 1024U /* what age tolerates on either side */

/* No line of a valid text is longer, white space included. */
#define AGE_ARMOR_LINE_MAX (AGE_ARMOR_WHITESPACE_MAX + AGE_ARMOR_LINE_COLUMNS)

/* Starts as {0}. */
struct age_armor_decoder {
	enum {
		AGE_ARMOR_BEFORE,
		AGE_ARMOR_INSIDE,
		AGE_ARMOR_BEHIND
	} place;
	size_t whitespace;  /* so far, on this side */
	bool is_short_line; /* the last one was */
};

/* Takes a line without its LF; adds what it holds to `file`. */
int age_armor_decode_line(struct age_armor_decoder *decoder, struct span line, struct secret *file,
			  struct error *err);

/* After the last line. VMCRED_FAILED: the text is cut off. */
int age_armor_decode_end(const struct age_armor_decoder *decoder, struct error *err);

/* Adds whole lines, and at the file's end the rest, without the first and the last line. `part` is
 * a multiple of AGE_ARMOR_LINE_BYTES except at the end. */
int age_armor_encode_lines(struct span part, struct secret *text, struct error *err);

#endif
