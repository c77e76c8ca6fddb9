/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMCRED_BASE_ARRAY_H
#define VMCRED_BASE_ARRAY_H

#include <stddef.h>

#include "base/error.h"

/*
 * Makes room for one more item in an array of `count` items. `items` is the address of the pointer
 * to the array, which starts as NULL with a capacity of 0; the caller frees it.
 */
int array_grow(void *items, size_t count, size_t *capacity, size_t item_size, struct error *err);

#endif
