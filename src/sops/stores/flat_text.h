/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that have only text: how they spell other values, and white space. */
#ifndef VMCRED_SOPS_STORES_FLAT_TEXT_H
#define VMCRED_SOPS_STORES_FLAT_TEXT_H

#include "base/error.h"
#include "base/span.h"
#include "sops/tree/number.h"
#include "sops/tree/tree.h"

/*
 * Spells a value like Go's fmt, and floats like strconv.FormatFloat(…, 'G', -1, 64) with a decimal
 * point. `*text` points into the node or into `buffer`, which the caller wipes. VMCRED_FAILED: a
 * map, a list or bytes.
 */
int sops_flat_text(const struct sops_node *node, char buffer[SOPS_NUMBER_SIZE_MAX],
		   struct span *text, struct error *err);

/* Removes Unicode white space at the start, the end or both. */
struct span sops_space_trim_left(struct span text);
struct span sops_space_trim_right(struct span text);
struct span sops_space_trim(struct span text);

#endif
