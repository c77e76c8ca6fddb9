/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/: whether what a VMM says repeats what it was given.
 */
#ifndef VMCRED_VMM_QUOTATION_H
#define VMCRED_VMM_QUOTATION_H

#include <stdbool.h>

#include "base/span.h"
#include "oem/oem.h"

/*
 * Whether `text` holds the value of a string of the list, or some of it: where a value is long
 * enough, 31 bytes of it in a row are always found. A value of less than four bytes is found in any
 * text, and not looked for.
 */
bool quotation_found(struct span text, const struct oem_list *list);

#endif
