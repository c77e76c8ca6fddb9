/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions as Go's regexp package has them (RE2 syntax), which sops's rules and creation
 * rules are written in: whether an expression matches somewhere in a text, and nothing else. An
 * automaton that follows all ways at once, so that the time is at most the length of the expression
 * times that of the text, whatever a document says (no backtracking).
 *
 * What is not here, and refused with VMCRED_FAILED: classes of Unicode properties (\p{…}), and
 * letters beyond ASCII under (?i). What is no expression for Go either is VMCRED_USAGE.
 */
#ifndef VMCRED_SOPS_REGEX_H
#define VMCRED_SOPS_REGEX_H

#include "base/error.h"
#include "base/span.h"

struct sops_regex;

#define _cleanup_sops_regex_ __attribute__((cleanup(sops_regex_destroy)))

/* The caller destroys it. The error quotes the expression. */
int sops_regex_compile(struct span expression, struct sops_regex **regex, struct error *err);

/* Accepts a pointer to NULL; sets it to NULL. */
void sops_regex_destroy(struct sops_regex **regex);

/* Whether it matches somewhere; a byte that is no UTF-8 counts as U+FFFD. Several threads may use
 * one expression. 1, 0, or a negative code without memory. */
int sops_regex_match(const struct sops_regex *regex, struct span text, struct error *err);

#endif
