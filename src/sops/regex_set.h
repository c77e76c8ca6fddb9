/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of characters in a regular expression.
 */
#ifndef VMCRED_SOPS_REGEX_SET_H
#define VMCRED_SOPS_REGEX_SET_H

#include "sops/regex_program.h"

/* The character at the start of a text that is not empty; returns its size in bytes. A byte that is
 * no UTF-8 is U+FFFD. */
size_t regex_character(struct span text, uint32_t *c);

/* Letters, digits and _, in ASCII alone. */
bool regex_is_word(uint32_t c);

/* Adds a range to the set that is being built at the end of the program's ranges. */
int regex_set_add(struct sops_regex *regex, uint32_t low, uint32_t high, struct error *err);

/*
 * Adds a class that the text begins with, \d, \S …, and with `bracketed` also [:alpha:]; `fold`:
 * with letters of the other case. `*size` is its length. Returns 1 if there was
 * one, else 0.
 */
int regex_set_add_class(struct sops_regex *regex, struct span text, bool bracketed, bool fold,
			size_t *size, struct error *err);

/* Adds the letters of the other case to the ranges from `first` on. */
int regex_set_fold(struct sops_regex *regex, uint32_t first, struct error *err);

#endif
