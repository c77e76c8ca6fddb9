/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stores share in which everything is text: how other values are spelt, and what is white
 * space.
 */
#ifndef VMCRED_SOPS_STORES_FLAT_TEXT_H
#define VMCRED_SOPS_STORES_FLAT_TEXT_H

#include "base/error.h"
#include "base/span.h"
#include "sops/tree/number.h"
#include "sops/tree/tree.h"

/*
 * A value as a flat store spells it (Go's fmt, and strconv.FormatFloat(…, 'G', -1, 64) with a
 * decimal point). `*text` points into the node or into `buffer`, which the caller wipes.
 * VMCRED_FAILED: a map, a list or bytes, which have no spelling.
 */
int sops_flat_text(const struct sops_node *node, char buffer[SOPS_NUMBER_SIZE_MAX],
		   struct span *text, struct error *err);

/* Without the white space (Unicode's, in UTF-8) at its beginning, or at its end. */
struct span sops_space_trim_left(struct span text);
struct span sops_space_trim_right(struct span text);
struct span sops_space_trim(struct span text);

#endif
