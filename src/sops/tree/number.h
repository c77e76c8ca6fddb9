/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as Go reads and prints them. A document's MAC is over the printed form, so a digit more
 * or less is a MAC that does not match.
 */
#ifndef VMCRED_SOPS_TREE_NUMBER_H
#define VMCRED_SOPS_TREE_NUMBER_H

#include "base/span.h"
#include "sops/tree/tree.h"

/* The longest: 324 digits behind "-0.", and the 17 that a double has. */
#define SOPS_NUMBER_SIZE_MAX 352

/* The length of the JSON number (RFC 8259, section 6) that the text begins with, or 0. */
size_t sops_number_scan(struct span text);

/*
 * What a JSON number is to sops: an integer if it is written as one and fits into 64 bits, else a
 * float. `*canonical` is its text, for an integer as Go prints it. -1: too large even for a float.
 */
int sops_number_read(struct span number, enum sops_kind *kind, struct span *canonical);

enum sops_number_form {
	SOPS_NUMBER_PLAIN, /* never with an exponent: MAC and encryption (strconv.FormatFloat(…,
			      'f', -1, 64)) */
	SOPS_NUMBER_JSON,  /* with an exponent where it is far from 1: the JSON store */
	SOPS_NUMBER_FLAT,  /* 'G', -1, 64, with a decimal point where it could pass for an integer:
			      dotenv and INI */
};

/*
 * What a decrypted text is as an integer, a float or a boolean, as Go's strconv reads what sops
 * wrote; `*canonical` is how Go prints it. -1: it is none.
 */
int sops_int_read(struct span text, struct span *canonical);
int sops_bool_read(struct span text, struct span *canonical);
int sops_float_check(struct span text);

/* Whether an integer's text is printed the same when it is a float. */
bool sops_int_is_float(struct span text);

/* The value of a float's text, which may also be +Inf, -Inf or NaN. */
double sops_float_value(struct span text);

/* Prints a float's text in one of Go's forms; returns the length, 0 if JSON has no such number. The
 * caller wipes `out`. */
size_t sops_float_print(struct span number, enum sops_number_form form,
			char out[SOPS_NUMBER_SIZE_MAX]);
size_t sops_double_print(double value, enum sops_number_form form, char out[SOPS_NUMBER_SIZE_MAX]);

#endif
