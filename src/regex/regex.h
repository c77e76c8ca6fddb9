/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions in the syntax of Go's regexp package (RE2), which SOPS rules and creation
 * rules use: does an expression match anywhere in a text? The matching is done by PCRE2.
 *
 * Expressions are untrusted: a document carries its own. The compiler reads the whole expression
 * and writes an equivalent one for PCRE2, so that nothing reaches PCRE2 that Go does not have:
 * look-around, back-references, recursion, callouts, verbs, atomic groups. Matching follows all
 * alternatives at once (pcre2_dfa_match), as Go does, so the time is linear in the text; its total
 * work is bounded too (REGEX_WORK_MAX).
 *
 * A text may be secret. PCRE2 stores offsets into it, never a copy.
 */
#ifndef VMCRED_REGEX_REGEX_H
#define VMCRED_REGEX_REGEX_H

#include "base/error.h"
#include "base/span.h"

struct regex;

#define _cleanup_regex_ __attribute__((cleanup(regex_destroy)))

/*
 * The caller destroys it. The error quotes the expression. VMCRED_USAGE: Go rejects it too.
 * VMCRED_FAILED: Go accepts it, but it is not supported here or too large.
 */
int regex_compile(struct span expression, struct regex **regex, struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void regex_destroy(struct regex **regex);

/*
 * Returns 1 if it matches anywhere in the text, 0 if not. A byte that is not UTF-8 counts as
 * U+FFFD. Several threads may share an expression. VMCRED_FAILED: a limit was reached.
 */
int regex_match(const struct regex *regex, struct span text, struct error *err);

#endif
