/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_BASE_ARRAY_H
#define VMCRED_BASE_ARRAY_H

#include <stddef.h>

#include "base/error.h"

/* Doubles the capacity of an array; for array_grow(). */
int array_enlarge(void *items, size_t *capacity, size_t item_size, struct error *err);

/*
 * Makes room for one more item in an array of `count` items. `items` is the address of the pointer
 * to the array, which starts as NULL with a capacity of 0; the caller frees it.
 */
static inline int array_grow(void *items, size_t count, size_t *capacity, size_t item_size,
			     struct error *err)
{
	return count < *capacity ? 0 : array_enlarge(items, capacity, item_size, err);
}

/* Makes room for exactly one more item, in an array that stays small. */
int array_extend(void *items, size_t count, size_t item_size, struct error *err);

#endif
