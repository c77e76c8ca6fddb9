/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdlib.h>

int array_grow(void *items, size_t count, size_t *capacity, size_t item_size, struct error *err)
{
	size_t more = *capacity ? *capacity * 2 : 32;
	void *moved;

	if (count < *capacity)
		return 0;
	moved = reallocarray(*(void **)items, more, item_size);
	if (!moved)
		return error_no_memory(err);
	*(void **)items = moved;
	*capacity = more;
	return 0;
}
