/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From Go's syntax to PCRE2's. The result contains nothing but literals, sets, anchors, groups,
 * alternatives and repetitions, each spelled so that it does not depend on an option of PCRE2.
 */
#ifndef VMCRED_REGEX_TRANSLATE_H
#define VMCRED_REGEX_TRANSLATE_H

#include "base/error.h"

/* Translates valid UTF-8. The caller frees `*pattern`, also on failure. Errors as for
 * regex_compile(). */
int regex_translate(const char *expression, char **pattern, struct error *err);

#endif
