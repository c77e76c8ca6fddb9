/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: how Cloud Hypervisor's option_parser takes an option's text apart. Commas separate
 * outside of quotes and brackets; quotes go away from a single value and stay in a list's.
 */
#ifndef VMCRED_VMM_CLOUD_HYPERVISOR_SYNTAX_H
#define VMCRED_VMM_CLOUD_HYPERVISOR_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "vmm/command.h"

/* Takes white space off both ends, in place; returns the new start. */
char *option_text_trim(char *text);

/* Whether there is nothing but white space. */
bool option_text_blank(const char *text);

/*
 * Adds the pieces between the commas that are outside of quotes and brackets. The text may hold OEM
 * strings: no error quotes it.
 */
int option_pieces_split(const char *text, struct command *pieces, struct error *err);

/* Adds the strings of "[a,b]"; the brackets may be missing. */
int option_strings_split(const char *text, struct command *strings, struct error *err);

/*
 * The text without quotes, in new memory, NULL without memory; a doubled one inside of quotes is a
 * quote. They balance, or option_pieces_split() refused the text.
 */
char *option_text_dequote(const char *text);

/* Cuts "a@b" at the one '@' outside of quotes; returns b, or NULL where it is not such a pair. */
char *option_pair_cut(char *text);

#endif
