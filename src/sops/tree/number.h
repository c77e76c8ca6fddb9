/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as Go reads and prints them. The MAC covers the printed form, so every digit matters. */
#ifndef VMCRED_SOPS_TREE_NUMBER_H
#define VMCRED_SOPS_TREE_NUMBER_H

#include "base/span.h"
#include "sops/tree/tree.h"

/* "-0." and 324 digits before the 17 of a double. */
#define SOPS_NUMBER_SIZE_MAX 352

/* The length of the JSON number (RFC 8259, section 6) at the start of the text, or 0. */
size_t sops_number_scan(struct span text);

/*
 * Reads a JSON number as sops does: an integer if it has that form and fits into 64 bits, else a
 * float. `*canonical` is its text, for an integer as Go prints it. -1: too large for a float.
 */
int sops_number_read(struct span number, enum sops_kind *kind, struct span *canonical);

enum sops_number_form {
	SOPS_NUMBER_PLAIN, /* never with an exponent: MAC and encryption (strconv.FormatFloat(…,
			      'f', -1, 64)) */
	SOPS_NUMBER_JSON,  /* with an exponent if it is far from 1: the JSON store */
	SOPS_NUMBER_FLAT,  /* 'G', -1, 64, with a decimal point if it looks like an integer: dotenv
			      and INI */
};

/* Check a decrypted text as Go's strconv does. `*canonical` is the form that Go prints. -1:
 * invalid. */
int sops_int_read(struct span text, struct span *canonical);
int sops_bool_read(struct span text, struct span *canonical);
int sops_float_check(struct span text);

/* Whether an integer has the same text as a float. */
bool sops_int_is_float(struct span text);

/* The value of a float, which may be +Inf, -Inf or NaN. */
double sops_float_value(struct span text);

/* Prints a float's text in one of Go's forms; returns the length, 0 if JSON has no such number. The
 * caller wipes `out`. */
size_t sops_float_print(struct span number, enum sops_number_form form,
			char out[SOPS_NUMBER_SIZE_MAX]);
size_t sops_double_print(double value, enum sops_number_form form, char out[SOPS_NUMBER_SIZE_MAX]);

#endif
