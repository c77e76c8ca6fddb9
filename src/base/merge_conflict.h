/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge-conflict markers (git-merge(1), "HOW CONFLICTS ARE PRESENTED"). A file that contains them
 * is neither read nor replaced.
 */
#ifndef VMCRED_BASE_MERGE_CONFLICT_H
#define VMCRED_BASE_MERGE_CONFLICT_H

#include "base/error.h"
#include "base/span.h"

/* VMCRED_FAILED if the text contains the markers at the starts of lines, in order. `path` names it
 * in the error. */
int merge_conflict_check(struct span text, const char *path, struct error *err);

#endif
