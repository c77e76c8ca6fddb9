/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a merge leaves in a file that two sides have changed: git-merge(1), "how conflicts are
 * presented". Such a file is nobody's; it is named, not read and not replaced.
 */
#ifndef VMCRED_BASE_MERGE_CONFLICT_H
#define VMCRED_BASE_MERGE_CONFLICT_H

#include "base/error.h"
#include "base/span.h"

/* VMCRED_FAILED if the text has the markers of a conflict, at the beginnings of lines and in their
 * order, else 0. `path` names it in the error. */
int merge_conflict_check(struct span text, const char *path, struct error *err);

#endif
