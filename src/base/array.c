/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdlib.h>

int array_extend(void *items, size_t count, size_t item_size, struct error *err)
{
	void *moved = reallocarray(*(void **)items, count + 1, item_size);

	if (!moved)
		return error_no_memory(err);
	*(void **)items = moved;
	return 0;
}

int array_enlarge(void *items, size_t *capacity, size_t item_size, struct error *err)
{
	size_t more = *capacity ? *capacity * 2 : 32;
	int r = array_extend(items, more - 1, item_size, err);

	if (r == 0)
		*capacity = more;
	return r;
}
